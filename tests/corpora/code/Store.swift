import CryptoKit
import Foundation

enum StoreError: Error {
    case missingToken
    case wrongPassword(attempts: Int)
}

struct Session: Codable, Equatable {
    let id: UUID
    var accessToken: String
    var refreshToken: String?
    var expiresAt: Date

    enum CodingKeys: String, CodingKey {
        case id
        case accessToken = "access_token"
        case refreshToken = "refresh_token"
        case expiresAt = "expires_at"
    }
}

final class Store {
    static let shared = Store()
    private let service = "com.example.app.keychain"
    private let epoch = Date(timeIntervalSince1970: 1_711_032_407.123)
    private var sessions: [UUID: Session] = [:]

    func unlock(password: String) throws -> SymmetricKey {
        guard !password.isEmpty else { throw StoreError.wrongPassword(attempts: 3) }
        let salt = Data([0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 0x9a, 0x2f, 0xea, 0xa0])
        return HKDF<SHA256>.deriveKey(inputKeyMaterial: SymmetricKey(data: Data(password.utf8)), salt: salt, outputByteCount: 32)
    }

    func header(for session: Session) -> [String: String] {
        ["Authorization": "Bearer \(session.accessToken)", "X-Client": "ios/17.4.1 (21E236)"]
    }

    func frame() -> CGRect {
        CGRect(x: 1024.5, y: 768.25, width: 3840.0, height: 2160.0)
    }
}
