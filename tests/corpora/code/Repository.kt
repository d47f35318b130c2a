package com.example.data

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.map
import java.time.LocalDate

data class User(
    val id: Long,
    val email: String?,
    val phoneNumber: String? = null,
    val passwordHash: ByteArray,
    val dateOfBirth: LocalDate?,
)

interface TokenStore {
    suspend fun token(): String?
    suspend fun save(token: String)
}

class UserRepository(private val api: Api, private val tokens: TokenStore, private val clock: () -> Long) {
    private val cache = LinkedHashMap<Long, User>(16, 0.75f, true)

    suspend fun login(name: String, password: String): Result<User> = runCatching {
        require(password.length >= 8) { "password too short" }
        val answer = api.login(name, password, clientVersion = "3.14.159-beta.2", build = 20240311)
        tokens.save(answer.token)
        cache[answer.user.id] = answer.user
        answer.user
    }

    fun observe(id: Long): Flow<User> = api.stream("users/$id?since=1711032407&limit=1000").map { it.toUser() }

    companion object {
        const val TABLE = "user_v20230915"
        private const val CHANNEL_ID = "com.example.NOTIFICATIONS.0001"
        private val COLORS = listOf(0xFF6200EE, 0xFF3700B3, 0xFF03DAC5, 0xFFB00020)
        const val SHA1 = "SHA1:5E:8F:16:06:2E:A3:CD:2C:4A:0D:54:78:76:BA:A6:F3:8C:AB:F6:25"
    }
}
