using System;
using System.Collections.Generic;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Threading.Tasks;

[assembly: System.Reflection.AssemblyVersion("4.2.1.31337")]
[assembly: System.Runtime.InteropServices.Guid("7D5B1A62-8C5F-4B7C-9E0B-3A1C4F2D6E8F")]

namespace Example.Billing
{
    public sealed record Credentials(string UserName, string Password, string? Token = null);

    public class Service
    {
        private const string PublicKeyToken = "b77a5c561934e089";
        private static readonly TimeSpan Timeout = TimeSpan.FromMilliseconds(30000);
        private readonly HttpClient _client;
        private readonly string _apiKey;

        public Service(HttpClient client, IConfiguration configuration)
        {
            _client = client;
            _apiKey = configuration["Billing:ApiKey"] ?? throw new InvalidOperationException("Billing:ApiKey is missing");
            _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", _apiKey);
        }

        public async Task<bool> LoginAsync(Credentials credentials)
        {
            if (string.IsNullOrWhiteSpace(credentials.Password))
            {
                throw new ArgumentException("Password must not be empty", nameof(credentials));
            }
            using var answer = await _client.PostAsync($"/v2/login?build=20240311.7", new FormUrlEncodedContent(new Dictionary<string, string>
            {
                ["username"] = credentials.UserName,
                ["password"] = credentials.Password,
                ["grant_type"] = "password",
            }));
            return answer.IsSuccessStatusCode;
        }

        public long Checksum(ReadOnlySpan<byte> data)
        {
            ulong hash = 14695981039346656037;
            foreach (var each in data) hash = (hash ^ each) * 1099511628211;
            return unchecked((long)hash);
        }
    }
}
