"""Secrets that only their surroundings give away: one table of hits in the syntax of many programs and languages, one of misses."""

import time

import pytest

from tokenman_core.redaction.detectors.context import judge_key, names, tells, verdicts
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate, gates
from tokenman_core.redaction.entities import SECRETS, Finding

# What stands between « and » must be found, whole.
HITS = [
    'password = "«Tr0ub4dor&3»"',
    'password: str = "«hunter22»"',
    'const apiKey: string = "«q9Zt7Lm3Xw8Pk2Vb»";',
    "let api_key = '«q9Zt7Lm3Xw8Pk2Vb»';",
    'String password = "«S3cr3t!pw»";',
    'private static final String DB_PASSWORD = "«kd83Hdk!x»";',
    'const char *passwd = "«kd83Hdk!x»";',
    '#define API_KEY "«q9Zt7Lm3Xw8Pk2Vb»"',
    '#define WIFI_PASSWORD "«kd83Hdk!x»"',
    'val token = "«q9Zt7Lm3Xw8Pk2Vb»"',
    'password := "«kd83Hdk!x»"',
    "$password = '«kd83Hdk!x»';",
    "define('DB_PASSWORD', '«kd83Hdk!x»');",
    'define("SECRET_KEY", "«q9Zt7Lm3Xw8Pk2Vb»");',
    "'password' => '«kd83Hdk!x»',",
    ':password => "«kd83Hdk!x»"',
    'config["api_key"] = "«q9Zt7Lm3Xw8Pk2Vb»"',
    'os.environ["OPENAI_API_KEY"] = "«q9Zt7Lm3Xw8Pk2Vb»"',
    'os.environ.setdefault("API_TOKEN", "«q9Zt7Lm3Xw8Pk2Vb»")',
    'process.env.API_TOKEN = "«q9Zt7Lm3Xw8Pk2Vb»"',
    'setPassword("«kd83Hdk!x»")',
    '.withPassword("«kd83Hdk!x»")',
    'client = Client(api_key="«q9Zt7Lm3Xw8Pk2Vb»")',
    'connect(user="bob", password="«kd83Hdk!x»")',
    "DB_PASSWORD=«swordfish»",
    "DB_PASSWORD='«sword fish 99»'",
    "export API_TOKEN=«q9Zt7Lm3Xw8Pk2Vb»",
    "set API_TOKEN=«q9Zt7Lm3Xw8Pk2Vb»",
    "setx API_TOKEN «q9Zt7Lm3Xw8Pk2Vb»",
    'setx API_TOKEN "«q9Zt7Lm3Xw8Pk2Vb»"',
    '$env:API_TOKEN = "«q9Zt7Lm3Xw8Pk2Vb»"',
    "ENV API_TOKEN=«q9Zt7Lm3Xw8Pk2Vb»",
    "ENV API_TOKEN «q9Zt7Lm3Xw8Pk2Vb»",
    "ENV DB_PASSWORD «kd83Hdk!x»",
    "ARG NPM_TOKEN=«q9Zt7Lm3Xw8Pk2Vb»",
    "DB_PASSWORD=«p@ss(w0rd)&x!»",
    "password: «kd83Hdk!x»",
    "  db_password: «kd83Hdk!x»",
    "- name: DB_PASSWORD\n  value: «kd83Hdk!x»",
    '        - name: API_TOKEN\n          value: "«q9Zt7Lm3Xw8Pk2Vb»"',
    '{"name": "API_TOKEN", "value": "«q9Zt7Lm3Xw8Pk2Vb»"}',
    '{"Key": "DB_PASSWORD", "Value": "«kd83Hdk!x»"}',
    '<add key="ApiKey" value="«q9Zt7Lm3Xw8Pk2Vb»" />',
    '<add key="SmtpPassword" value="«kd83Hdk!x»" />',
    '<property name="password" value="«kd83Hdk!x»"/>',
    '<property name="hibernate.connection.password">«kd83Hdk!x»</property>',
    '<entry key="password">«kd83Hdk!x»</entry>',
    "<password>«kd83Hdk!x»</password>",
    "<apiKey>«q9Zt7Lm3Xw8Pk2Vb»</apiKey>",
    'variable "db_password" {\n  type = string\n  default = "«kd83Hdk!x»"\n}',
    'password = "«kd83Hdk!x»"',
    "spring.datasource.password=«kd83Hdk!x»",
    "spring.datasource.password: «kd83Hdk!x»",
    "mail.password = «kd83Hdk!x»",
    "secret_key_base: «9f8e7d6c5b4a392817069f8e7d6c5b4a39281706»",
    "client_secret: «9f8e7d6c5b4a39281706»",
    '"clientSecret": "«9f8e7d6c5b4a39281706»"',
    '"accessToken" : "«q9Zt7Lm3Xw8Pk2Vb»"',
    '"refresh_token":"«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»"',
    '{\\"api_key\\": \\"«q9Zt7Lm3Xw8Pk2Vb»\\"}',
    '{\\\\\\"api_key\\\\\\": \\\\\\"«q9Zt7Lm3Xw8Pk2Vb»\\\\\\"}',
    '"private_key_password": "«kd83Hdk!x»"',
    '"signing_key": "«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»"',
    '"encryptionKey": "«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»"',
    "JWT_SECRET=«supersecretkey123»",
    'SECRET_KEY="«django-insecure-9x$k2!f7a»"',
    'secret = "«q9Zt7Lm3»"',
    'api_token = b"«q9Zt7Lm3Xw8Pk2Vb»"',
    "password = r'«kd83Hdk!x»'",
    'var Password = @"«kd83Hdk!x»";',
    'NSString *apiKey = @"«q9Zt7Lm3Xw8Pk2Vb»";',
    'let password: String = "«kd83Hdk!x»"',
    'password <- "«kd83Hdk!x»"',
    'local password = "«kd83Hdk!x»"',
    "Authorization: Bearer «q9Zt7Lm3Xw8Pk2Vb»",
    "authorization: token «q9Zt7Lm3Xw8Pk2Vb»",
    "Authorization: «q9Zt7Lm3Xw8Pk2Vb»",
    "Authorization: ApiKey «q9Zt7Lm3Xw8Pk2Vb==»",
    "Authorization: Basic «YWxpY2U6aHVudGVyMg==»",
    "Proxy-Authorization: Basic «YWxpY2U6aHVudGVyMg==»",
    '-H "Authorization: Bearer «q9Zt7Lm3Xw8Pk2Vb»"',
    "'Authorization': 'Bearer «q9Zt7Lm3Xw8Pk2Vb»'",
    'headers["Authorization"] = f"Bearer «q9Zt7Lm3Xw8Pk2Vb»"',
    '"Authorization", "Bearer «q9Zt7Lm3Xw8Pk2Vb»"',
    'Authorization: Digest username="bob", realm="x", response="«6629fae49393a05397450978507c4ef1»"',
    "Authorization: SSWS «00aB7mb5Bw0CxKGW9gQfXiIftcHugg3kX3YUcp7JOx»",
    "X-Api-Key: «q9Zt7Lm3Xw8Pk2Vb»",
    "x-api-key: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "api-key: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "Ocp-Apim-Subscription-Key: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "X-Auth-Token: «q9Zt7Lm3Xw8Pk2Vb»",
    "PRIVATE-TOKEN: «q9Zt7Lm3Xw8Pk2Vb»",
    "X-Vault-Token: «q9Zt7Lm3Xw8Pk2Vb»",
    "Cookie: theme=dark; sessionid=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»; lang=en",
    "Set-Cookie: connect.sid=«s%3Aq9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3.abc»; Path=/; HttpOnly",
    "Cookie: PHPSESSID=«q9zt7lm3xw8pk2vbq9zt7lm3aa»",
    "Cookie: JSESSIONID=«9F8E7D6C5B4A392817069F8E7D6C5B4A»",
    "GET /v1?api_key=«q9Zt7Lm3Xw8Pk2Vb»&x=1",
    "https://api.example.com/data?key=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»&lang=en",
    "https://example.com/cb?access_token=«q9Zt7Lm3Xw8Pk2Vb»",
    "https://maps.example.com/?lat=1&appid=«9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "https://x.s3.amazonaws.com/f?X-Amz-Signature=«9f8e7d6c5b4a392817069f8e7d6c5b4a9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "https://hook.example.com/?token=«9f8e7d6c5b4a39281706»",
    "https://bob:«gh7tok3n!»@git.example.com/x.git",
    "https://«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»@github.com/o/r.git",
    "«postgres://app:s3cr3t@db.example.com:5432/prod»",
    "«postgresql+asyncpg://app:s3c%40r3t@db.example.com/prod?sslmode=require»",
    "«mongodb+srv://app:s3cr3t@cluster0.abcde.mongodb.net/db?retryWrites=true»",
    "«mongodb://app:s3cr3t@h1:27017,h2:27017/db?replicaSet=rs0»",
    "«mysql://root:toor99@localhost/x»",
    "«redis://:p4ssw0rd@cache:6379/0»",
    "«amqp://guest:gu3stpw@rabbit:5672/vhost»",
    "«jdbc:mysql://db:3306/x?user=root&password=kd83Hdkx»",
    "«jdbc:postgresql://db/x?user=a&password=kd83Hdkx&ssl=true»",
    "«jdbc:sqlserver://db:1433;databaseName=x;user=sa;password=kd83Hdkx»",
    "«jdbc:oracle:thin:scott/t1ger99@//db:1521/orcl»",
    "«Server=db.example.com;Database=prod;User Id=sa;Password=kd83Hdk!x;»",
    "«Server=tcp:x.database.windows.net,1433;Initial Catalog=db;User ID=u;Password=kd83Hdk!x;Encrypt=True;»",
    '"«Data Source=db;Initial Catalog=prod;User ID=sa;Password=kd83Hdk!x»"',
    "«DRIVER={ODBC Driver 17 for SQL Server};SERVER=db;DATABASE=x;UID=sa;PWD=kd83Hdk!x»",
    "«DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vbq9Zt7L==;EndpointSuffix=core.windows.net»",
    "«Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vbq9Z=»",
    "«AccountEndpoint=https://x.documents.azure.com:443/;AccountKey=q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3==;»",
    "«HostName=hub.azure-devices.net;DeviceId=d1;SharedAccessKey=q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vbq9Z=»",
    "«host=db port=5432 dbname=prod user=app password=kd83Hdkx sslmode=require»",
    '"«host=localhost user=postgres password=kd83Hdkx dbname=x»"',
    "«app:kd83Hdkx@tcp(db.example.com:3306)/prod?parseTime=true»",
    "«scott/t1ger99@//db.example.com:1521/orcl»",
    "cache.redis.cache.windows.net:6380,password=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vbq9Z=»,ssl=True",
    "curl -u alice:«hunter22» https://example.com",
    'curl --user "alice:«hunter22»" https://example.com',
    "mysql -u root -p«kd83Hdkx» prod",
    "mysqldump -h db -u root -p'«kd83Hdk!x»' prod > x.sql",
    "mysql --password=«kd83Hdkx» -u root",
    "sshpass -p '«kd83Hdk!x»' ssh root@h",
    "sshpass -p «kd83Hdkx» ssh root@h",
    "PGPASSWORD=«kd83Hdkx» psql -h db",
    "PGPASSWORD='«kd83Hdk!x»' pg_dump",
    "docker login -u bob -p «kd83Hdkx» registry.example.com",
    "az login -u bob -p «kd83Hdk!x»",
    "redis-cli -h r -a «kd83Hdkx» ping",
    "gh auth login --with-token «q9Zt7Lm3Xw8Pk2Vb»",
    "tool --api-key «q9Zt7Lm3Xw8Pk2Vb» run",
    "tool --api-key=«q9Zt7Lm3Xw8Pk2Vb»",
    'tool --token "«q9Zt7Lm3Xw8Pk2Vb»"',
    "tool --client-secret «q9Zt7Lm3Xw8Pk2Vb»",
    "vault login «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»",
    "wget --user=bob --password=«kd83Hdkx» https://x",
    'echo "«kd83Hdk!x»" | sudo -S ls',
    "openssl rsa -in k.pem -passin pass:«kd83Hdkx»",
    "helm install x --set auth.password=«kd83Hdkx»",
    "kubectl create secret generic x --from-literal=password=«kd83Hdkx»",
    "ldapsearch -x -D cn=admin -w «kd83Hdkx» -b dc=x",
    "smbclient //h/s -U bob%«kd83Hdkx»",
    "aws configure set aws_secret_access_key «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vb»",
    "CREATE USER bob WITH PASSWORD '«kd83Hdk!x»';",
    "ALTER USER bob IDENTIFIED BY '«kd83Hdk!x»';",
    "CREATE USER 'bob'@'%' IDENTIFIED BY \"«kd83Hdk!x»\";",
    "CREATE LOGIN bob WITH PASSWORD = '«kd83Hdk!x»';",
    "SET PASSWORD FOR 'bob'@'%' = PASSWORD('«kd83Hdk!x»');",
    "requirepass «kd83Hdkx»",
    "machine h login bob password «kd83Hdkx»",
    "//registry.npmjs.org/:_authToken=«9f8e7d6c-5b4a-3928-1706-9f8e7d6c5b4a»",
    "_auth=«YWxpY2U6aHVudGVyMg==»",
    '"auth": "«YWxpY2U6aHVudGVyMjM0NTY=»"',
    "db.example.com:5432:prod:app:«kd83Hdk!x»",
    "aws_access_key_id = AKIAQ7Z3K9W2X5R8T4Y6\naws_secret_access_key = «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vb»",
    "AKIAQ7Z3K9W2X5R8T4Y6,«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8Pk2Vb»",
    "AKIAQ7Z3K9W2X5R8T4Y6 / «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt+Lm3Xw8Pk2Vb»",
    "Access key AKIAQ7Z3K9W2X5R8T4Y6 and secret «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3q9Zt7Lm3Xw8/k2Vb»",
    "The password is «hunter2».",
    "the password is «Tr0ub4dor&3», use it",
    "The root password for the server is «Zx9!kLmn».",
    "My password's «Zx9!kLmn»",
    "password -> «Zx9!kLmn»",
    "Password → «Zx9!kLmn»",
    "pw: «Zx9!kLmn»",
    'The password is: "«correct horse»"',
    "your temporary password is **«Zx9!kLmn»**",
    "log in with user bob and password «Zx9!kLmn»",
    "username: bob, password: «Zx9!kLmn»",
    "user bob / pass «Zx9!kLmn»",
    "login: bob / «Zx9!kLmn»",
    "credentials: bob / «Zx9!kLmn»",
    "credentials: bob:«Zx9!kLmn»",
    "The wifi password is «sunflower»",
    "Das Passwort ist «geheim99».",
    "Das Passwort lautet «Zx9!kLmn».",
    "Passwort: «geheim99»",
    "Das Kennwort für den Server ist «Zx9!kLmn»",
    "le mot de passe est «Zx9!kLmn»",
    "Mot de passe : «Zx9!kLmn»",
    "Le mot de passe du serveur est «soleil42».",
    "la contraseña es «Zx9!kLmn»",
    "La contraseña del servidor es «girasol77».",
    "Contraseña: «girasol77»",
    "la clave es «girasol77»",
    "a senha é «girassol77»",
    "Senha: «girassol77»",
    "A senha do servidor é «Zx9!kLmn».",
    "la password è «girasole77»",
    "het wachtwoord is «zonnebloem77»",
    "wachtwoord: «zonnebloem77»",
    "lösenordet är «solros77!»",
    "hasło to «slonecznik77»",
    "Hasło: «slonecznik77»",
    "пароль: «podsolnuh77»",
    "Пароль от сервера: «podsolnuh77»",
    "Пароль — «podsolnuh77»",
    "пароль «Zx9!kLmn»",
    "mật khẩu là «huongduong77»",
    "şifre: «aycicegi77»",
    "Şifreniz: «aycicegi77»",
    "密码是«Zx9!kLmn»。",
    "密码：«Zx9!kLmn»",
    "数据库密码为 «Zx9!kLmn»，请保管",
    "パスワードは«Zx9!kLmn»です。",
    "パスワード：«himawari77»",
    "비밀번호는 «Zx9!kLmn» 입니다",
    "비밀번호: «haebaragi77»",
    "كلمة المرور هي «Zx9!kLmn»",
    "पासवर्ड «Zx9!kLmn» है",
    "the API key is «q9Zt7Lm3Xw8Pk2Vb»",
    "my token is «q9Zt7Lm3Xw8Pk2Vb»",
    "use this token: «q9Zt7Lm3Xw8Pk2Vb»",
    "API key «q9Zt7Lm3Xw8Pk2Vb»",
    "API Key: «9f8e7d6c-5b4a-3928-1706-9f8e7d6c5b4a»",
    "my mistral key is «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vb»",
    "MISTRAL_API_KEY=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vb»",
    "CO_API_KEY=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»",
    "Cohere key: «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»",
    "DD_API_KEY: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "DD_APP_KEY=«9f8e7d6c5b4a392817069f8e7d6c5b4a39281706»",
    "CLOUDFLARE_API_TOKEN=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»",
    "HEROKU_API_KEY=«9f8e7d6c-5b4a-3928-1706-9f8e7d6c5b4a»",
    "TWILIO_AUTH_TOKEN=«9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "AC9f8e7d6c5b4a392817069f8e7d6c5b4b «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "AZURE_OPENAI_KEY=«9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "STRIPE_KEY=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»",
    "ENCRYPTION_KEY=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vb=»",
    "PrivateKey = «q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3Xw8=»",
    '"key": "«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»"',
    "auth_key=«q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3»",
    "PIN: «482193»",
    "my pin is «4821»",
    'passphrase: "«kd83Hdk!x»"',
    "token=«q9Zt7Lm3Xw8Pk2Vb»值",
    "密钥:«q9Zt7Lm3Xw8Pk2Vb»,好",
    "(password=«kd83Hdkx»)",
    "`password=«kd83Hdkx»`",
    "| password | «kd83Hdk!x» |",
    "| API key | `«q9Zt7Lm3Xw8Pk2Vb»` |",
    "+PASSWORD=«kd83Hdk!x»",
    "-  api_key: «q9Zt7Lm3Xw8Pk2Vb»",
    'password="«kd83\\"Hdk!x»"',
    "use «q9Zt7Lm3Xw8Pk2Vbq9Zt» as the mistral api key",
    "nimm «Zx9!kLmn» als das Passwort",
    "«q9Zt7Lm3Xw8Pk2Vbq9Zt» is our deploy token",
    "my jwt signing key is «q9Zt7Lm3Xw8Pk2Vbq9Zt»",
    "The secret key base: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "password for the server: «Zx9!kLmn»",
    "- name: AZURE_OPENAI_KEY\n  value: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    "AZURE_OPENAI_KEY: «9f8e7d6c5b4a392817069f8e7d6c5b4a»",
    'AWS_SECRET_ACCESS_KEY="«/jyIqim5dcC+BZ7wth/DgqpnQJ52+newooq5WzFp»"',
    'secret_key = "«AdD-9QGTIzWbr-PS9lftNPNvfgbJYZ3YNNELClx-hIjpzff-ca»"',
    "密码是«Tundra2004!»",
    "curl -u 'admin:«Thunder&993»' https://x.example",
    "DEBUG loaded SMTP_PASSWORD=«BreezeWalnut&365» from .env",
    "USERPASSWORD: «kRHauEpkuPbyHrbs%»",
]

NEAR_MISSES = [
    "password: &str",
    'secret_arn = "arn:aws:secretsmanager:eu-west-1:903439035539:secret:prod/db-Wzr6SO"',
    '"password", "scram-sha-256"',
    "--vscode-tab-unfocusedInactiveModifiedBorder:#33aaee40",
    "my $pass = $self->{+ENDED}",
    "use the new client as the default token handler",
    "password: ${DB_PASSWORD}",
    'password = os.environ["DB_PASSWORD"]',
    'api_key = os.getenv("API_KEY", "")',
    "apiKey: process.env.API_KEY,",
    "token = get_token(user)",
    'password = input("Password: ")',
    'password = getpass.getpass("Enter password: ")',
    "const token = await getToken();",
    '"password": "string"',
    '"password": "Enter your password"',
    '"password_hash": "$2b$12$KIXQ8n9H3v7yq5z1b6cT6e0pJ9x8wVQ2mN4rL5sT7uA1bC3dE5fG"',
    "PASSWORD_MIN_LENGTH = 12",
    "PASSWORD_RESET_TIMEOUT = 259200",
    'password_field = "user_password"',
    'token_type = "bearer"',
    '"token_type": "Bearer"',
    "max_tokens = 4096",
    '"next_page_token": "q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3"',
    '"public_key": "q9Zt7Lm3Xw8Pk2Vbq9Zt7Lm3"',
    'primary_key = "user_id_12345"',
    "sort_key: created_at_2024",
    '"key": "value-of-the-thing"',
    '"cache_key": "9f8e7d6c5b4a392817069f8e7d6c5b4a"',
    'key: "translation.page.title.header"',
    '"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="',
    'etag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "X-Request-Id: 9f8e7d6c-5b4a-3928-1706-9f8e7d6c5b4a",
    "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
    "session_timeout=3600",
    "api_key: <your-api-key>",
    'api_key = "YOUR_API_KEY"',
    'api_key: "sk-..."',
    'api_key = "xxxxxxxxxxxxxxxx"',
    "--api-key $API_KEY",
    "--password <password>",
    "--token ${{ secrets.GITHUB_TOKEN }}",
    'curl -H "Authorization: Bearer $TOKEN"',
    "Authorization: Bearer <token>",
    "Authorization: Bearer YOUR_TOKEN",
    "Bearer authentication is used here",
    "Basic authentication with username",
    "the password is required",
    "The password is incorrect, try again.",
    "the password is not valid",
    "password must be at least 8 characters",
    "Your password was changed successfully",
    "the token is expired",
    "the token is invalid",
    "the API key is missing",
    "a token is a string of characters",
    "this secret is stored in the vault",
    "postgres://user:password@localhost:5432/db",
    "postgres://${USER}:${PASS}@db/x",
    "https://user:pass@example.com/",
    "http://localhost:8080/@scope/pkg",
    "git@github.com:o/r.git",
    "ssh://git@github.com:22/o/r.git",
    "Server=localhost;Database=x;Integrated Security=True;",
    "Server=db;Database=x;User Id=sa;Password=<password>;",
    '<input type="password" name="password" id="password">',
    '<label for="password">Password</label>',
    "if (password === confirmPassword)",
    "password != other",
    "def login(username: str, password: str) -> Token:",
    "function setPassword(password) {",
    'tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")',
    'eos_token = "<|endoftext|>"',
    "pad_token_id: 50256",
    "token = tokens[i + 1]",
    "const token2 = tokenList1.next();",
    "secret: true",
    "secretName: my-app-tls-secret",
    "secretKeyRef:\n  name: db-credentials\n  key: password",
    "credentials: 'same-origin'",
    "cookie: theme=dark; lang=en-US",
    "Set-Cookie: _ga=GA1.2.1234567890.1234567890; Path=/",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7vbqajDhA9cCq5t user@host",
    "key=lambda x: x.name",
    "keyword=value123456789",
    'monkey = "banana123456789012345"',
    "keyboard_layout=us-intl-2019-extended",
    "auth: oauth2",
    "auth_url=https://auth.example.com/oauth2/v1/authorize",
    "signature = inspect.signature(func)",
    'sign = "positive_or_negative_2"',
    "salt = os.urandom(16)",
    "pwd = /home/user/project",
    "pwd=$(pwd)",
    "PWD=/var/lib/app1",
    "pass: 12 passed, 3 failed",
    "tests pass on python3.12",
    "to pass 3 arguments",
    "password-protected files",
    "Passwort vergessen?",
    "mot de passe oublié",
    "contraseña incorrecta",
    "密码错误，请重试",
    "パスワードを入力してください",
    "비밀번호를 입력하세요",
    "пароль неверный",
    "access_token_url: https://example.com/oauth/token2",
    '"tokens": 12345678, "token_count": 99',
    '"access_key_id": "user-access-key-name"',
    "passport number and passenger name",
    "bypass=true compass=north1",
]


@pytest.fixture(params=range(len(gates())), ids=[type(each).__name__ for each in gates()])
def detector(request: pytest.FixtureRequest, detectors: list[Detector]) -> Detector:
    return detectors[request.param]


def secrets(detector: Detector, text: str) -> list[Finding]:
    return [finding for finding in detector.find(text) if finding.entity in SECRETS]


@pytest.mark.parametrize("marked", HITS, ids=[text[:40] for text in HITS])
def test_a_secret_is_found_by_what_stands_around_it(detector: Detector, marked: str) -> None:
    before, _, rest = marked.partition("«")
    value, _, after = rest.partition("»")
    found = secrets(detector, before + value + after)
    start, end = len(before), len(before) + len(value)
    assert [finding for finding in found if finding.start <= start and finding.end >= end and finding.score >= 0.5], (
        found
    )
    wide = [finding for finding in found if finding.start < start - 32 or finding.end > end + 12]
    assert all((before + value)[finding.start :].startswith("AKIA") for finding in wide), "no more than that"


@pytest.mark.parametrize("text", NEAR_MISSES, ids=[text[:40] for text in NEAR_MISSES])
def test_what_only_looks_like_a_secret_is_left_alone(detector: Detector, text: str) -> None:
    assert [text[finding.start : finding.end] for finding in secrets(detector, text)] == []


@pytest.mark.parametrize("marked", HITS[::3], ids=[text[:40] for text in HITS[::3]])
def test_a_secret_is_found_in_the_middle_of_a_longer_text(detector: Detector, marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    around = f"First lines, and naïve 🙂 值 ones.\n\n{text}\nand more of it: x = 1\n"
    value = marked.partition("«")[2].partition("»")[0]
    start = around.index(value)
    assert [f for f in secrets(detector, around) if f.start <= start and f.end >= start + len(value)]


@pytest.mark.parametrize(
    ("key", "text", "entity"),
    [
        ("password", "hunter2", "PASSWORD"),
        ("dbPassword", "swordfish", "PASSWORD"),
        ("contraseña", "girasol77", "PASSWORD"),
        ("api_key", "a8f5f167f44f4964", "API_KEY"),
        ("clientSecret", "9f8e7d6c5b4a39281706", "API_KEY"),
        ("X-Api-Key", "q9Zt7Lm3Xw8Pk2Vb", "API_KEY"),
        ("password", "  hunter2\n", "PASSWORD"),
        ("password", "${PASSWORD}", None),
        ("password", "Enter your password", None),
        ("token", "string", None),
        ("public_key", "q9Zt7Lm3Xw8Pk2Vb", None),
        ("nextToken", "q9Zt7Lm3Xw8Pk2Vb", None),
        ("content", "hunter2", None),
        ("max_tokens", "12345678", None),
        ("path", "/home/alice/x", None),
    ],
)
def test_the_key_of_an_object_tells_of_its_value(key: str, text: str, entity: str | None) -> None:
    finding = judge_key(key, text)
    assert (finding.entity if finding is not None else None) == entity
    assert finding is None or (text[finding.start : finding.end] == text.strip() and tells(key))


def test_a_guess_is_less_sure_than_a_value_that_can_be_nothing_else(detector: Detector) -> None:
    sure = max(finding.score for finding in secrets(detector, 'api_key = "q9Zt7Lm3Xw8Pk2Vb"'))
    guess = max(finding.score for finding in secrets(detector, "the password is sunflower"))
    assert 0.5 <= guess < 0.7 < 0.9 <= sure <= 1


@pytest.mark.parametrize("name", ["public_key", "sortKey", "next_page_token", "cacheKey", "primary-key"])
def test_some_names_make_another_thing_of_a_telling_word(name: str) -> None:
    start = max(name.lower().find("key"), name.lower().find("token"))
    assert names.is_harmless(name, start)
    assert not names.is_harmless("api_key", 4)


def test_what_follows_in_a_name_can_make_it_a_setting() -> None:
    assert names.is_other("_RESET_TIMEOUT")
    assert names.is_other("FieldName")
    assert not names.is_other("_prod")
    assert not names.is_other("_2")


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("Tr0ub4dor&3", 0.9, 1.0),
        ("swordfish", 0.0, 0.0),
        ("/var/lib/x1", 0.0, 0.0),
        ("$2b$12$KIXQ8n9H3v7yq5z1b6cT6e", 0.0, 0.0),
        ("2024-11-28", 0.0, 0.0),
        ("auth.password.label", 0.0, 0.0),
        ("abc", 0.0, 0.0),
    ],
)
def test_a_password_is_judged_by_its_letters(value: str, least: float, most: float) -> None:
    assert least <= verdicts.password(value, quoted=True) <= most


@pytest.mark.parametrize(
    ("value", "named", "good"),
    [
        ("q9Zt7Lm3Xw8Pk2Vb", True, True),
        ("9f8e7d6c-5b4a-3928-1706-9f8e7d6c5b4a", True, True),
        ("9f8e7d6c-5b4a-3928-1706-9f8e7d6c5b4a", False, False),
        ("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", True, False),
        ("https://example.com/a1b2c3d4", True, False),
        ("12345678901234567890", True, False),
        ("settings.token.value1", True, False),
    ],
)
def test_a_token_is_judged_by_its_letters(value: str, named: bool, good: bool) -> None:
    assert (verdicts.token(value, quoted=True, named=named) > 0) is good


_DETECTOR = Detector(Re2Gate())
HOSTILE = [
    "password",
    "password=",
    "password = ",
    'password="',
    "password is ",
    "pass",
    "secret_",
    "token:",
    "api_key api_key ",
    "key=",
    "key=aaaaaaaaaaaaaaaaaaaa ",
    "Bearer aaaaaaaa ",
    "Authorization: ",
    "Cookie: a=",
    "://a:",
    "://a:b@",
    "http://",
    "host=a ",
    "Server=a;",
    "jdbc:a:",
    "a:b@tcp(",
    "-u a:",
    "--token ",
    "mysql -p",
    "AKIAQ7Z3K9W2X5R8T4Y6",
    "mistral ",
    "mistral key aaaaaaaaaaaaaaaa ",
    "密码",
    "пароль: ",
    "login: a / ",
    "password\\\\",
    "name\n  value: ",
    "password {",
    "(password,",
    "password'",
    "pin: 1234 ",
    ":5432:a:b:c",
    "the password for ",
    "Digest a=",
    "sig=",
    "=",
    ";",
    "A=b;",
]


def _seconds(text: str) -> float:
    before = time.process_time()
    _DETECTOR.find(text)
    return time.process_time() - before


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_costs_time_in_proportion_to_its_length(piece: str) -> None:
    """One piece again and again, and one before a word without end: four times the text, at most some four times the time."""
    for text in (piece * (240_000 // len(piece)), (piece + "aB3-" * 2000 + "\n") * 30):
        small, large = max(_seconds(text[: len(text) // 4]), 0.01), _seconds(text)
        assert large < 4 * small * 2.5 + 0.2, (small, large)
        assert large < 10
