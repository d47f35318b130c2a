"""Texts with holes for `fresh.py`: a hole in double marks is a value of the kind that it names, one in single marks is noise.

`core` is of any kind that needs no word, `tight` the same without blanks, `label` a word that tells what the value is.
"""

BARE = r"""
«core»
«core», «core» und «core»
Guten Tag ‹name›,\n\nkönnten Sie bis ‹date› «core» prüfen? Der Betrag war ‹amount› EUR.\n\nViele Grüße\n‹name›
Bonjour,\nje vous renvoie «core» comme convenu hier (dossier ‹order›). Merci !
Hola ‹name›: al final usaron «core» y no «core», ¿lo cambias?
Ciao, qui ‹name›. Confermo «core» per la pratica ‹order›, a presto
Olá, seguem «core» e o anexo de ‹date›.
Hoi ‹name›, het moet «core» zijn in plaats van «core». Groet
Cześć, wpisz proszę «core» i odeślij do ‹name› przed ‹date›.
Здравствуйте, ‹name›! Мы записали «core», проверьте, пожалуйста.
先日の件、「«core»」でお願いします。
你好，«core»已经更新，谢谢。
ticket #‹n› [open] assigned=‹name›\n> customer wrote:\n> «core» does not work any more\n>> tried «core» as well
‹when› INFO  [worker-‹n›] done subject="«core»" took=‹n›ms trace=‹hex›
‹when› WARN retry ‹n›/5 for «core» (‹uuid›)
<14>1 ‹when› edge-‹n› app ‹n› - - accepted «core» -> queued
{"id":‹n›,"value":"«core»","ok":true,"at":"‹when›"}
{"rows":[["«core»",‹n›],["«core»",‹n›]]}
{\"args\":{\"q\":\"«core»\",\"limit\":‹n›}}
‹n›,‹name›,«core»,‹date›,‹amount›
‹name›\t«core»\t‹n›
"‹name›";"«core»";"‹order›"
| ‹name› | «core» | ‹date› |\n| ‹name› | «core» | ‹date› |
- «core»\n- «core»\n- ‹word›
items:\n  - value: «core»\n    n: ‹n›
<td>«core»</td><td>‹n›</td>
<ref>«core»</ref>
x = "«core»"  # from ‹name›
assertEqual(parse('«core»'), ‹n›)
console.log(`«core»`);
[‹name›, ‹date›] «core»\n[‹name›, ‹date›] ok 👍 «core»
-    old: «core»\n+    new: «core»
grep -rn '«core»' logs/ | head -‹n›
echo «core» >> list.txt
Q: is it «core»?\nA: no, «core».
(see «core»)
→ «core» ←
<«core»>
‹word›:«core»;‹word›:‹n›
INSERT INTO t VALUES (‹n›, '«core»', '‹date›');
https://shop.example.com/find?q=«tight»&page=2
‹word›=«tight»&‹word›=‹n›
**«core»**, `«core»` and _«core»_
请发给«core»吧，‹date›之前。
{"text":"hi⏎«core»⏎bye","n":‹n›}
[«core»](https://example.com/‹word›)
set('‹word›', '«core»', ‹n›);
│ «core» │ ‹name› │ ‹n› │
{'a': '«core»', 'b': ‹n›, 'c': None}
<item key="«core»"/>
‹n›. «core»\n‹n›. «core»
‹amount› EUR «core» ‹date›
‹n› «core» ‹name›
«core»\t‹amount›\t‹date›
‹name›: «core»/«core»
ok — «core» – ‹name›…
new Map([["«core»", ‹n›], ["«core»", ‹n›]])
val x = listOf("«core»", "«core»")
@example "«core»"
print(f"{x} «core»")
("«core»", "«core»")
Subject: Re: «core»\nFrom: ‹name›\n\n> «core»\nok
<td class="c">«core»<br>«core»</td>
Merhaba ‹name› Bey, «core» bilgisini güncelledik.
Dobrý den, posílám «core». S pozdravem ‹name›
Bună ziua, vă rog să folosiți «core» în loc de «core».
Hei ‹name›, laitoin «core» listalle. T. ‹name›
Kedves ‹name›! A(z) «core» már él, üdv.
Γεια σου ‹name›, το «core» είναι έτοιμο.
Xin chào ‹name›, «core» đã được xác nhận.
مرحبا ‹name›، تم تحديث «core» اليوم.
नमस्ते, «core» को जाँच लें।
안녕하세요, «core»로 보내 주세요.
สวัสดีครับ ช่วยดู «core» ให้หน่อย
Привіт! Додай «core» до списку, дякую.
שלום, «core» מעודכן.
Hallå ‹name›, här är «core»: kolla gärna.
BEGIN:VCARD\nVERSION:3.0\nFN:‹name›\nNOTE:«core»\nEND:VCARD
DESCRIPTION:«core»\nDTSTART:20260511T100000Z
:50K:/«core»\n‹name›
RFF+ACE:«tight»'DTM+137:20260511:102'
‹when› nginx: «ipv4» - - "GET /‹word› HTTP/1.1" 200 ‹n›
host=«ipv6» status=‹n› agent="curl/8.1"
Received: from ‹word› ([«ipv4»]) by mx.‹word›.example
From: ‹name› <«email»>\nTo: «email», «email»
Cc: "‹name›, ‹name›" <«email»>
dn: uid=‹word›,ou=people\nmail: «email»
<soap:Body><x:v>«core»</x:v></soap:Body>
field { value: "«core»" n: ‹n› }
value = "«core»" # toml
VALUE='«core»'
set value "«core»"
my $x = '«core»';
x <- "«core»"
local x = "«core»"
io:format("«core»~n").
let x = "«core»" in x
IO.puts("«core»")
Write-Host "«core»"
mutation { add(v: "«core»") { id } }
<input name="v" value="«core»">
\texttt{«core»}
|| Name || Value ||\n| ‹name› | «core» |
* TODO ‹name› «core» :‹word›:
{{«core»}}
h3. «core»
> «core» <
«core»? «core»! «core»…
„«core»“ und ‚«core»‘
(«core»), [«core»], {«core»}
a:«core»\nb:«core»
1) «core»\n2) «core»\n3) «core»
‹date› ‹name› «core» ‹amount›
‹n›|«core»|‹n›|‹date›
("‹name›", "«core»", ‹n›),
‹name›,‹name›,‹n›,«core»,,‹date›
"value":"«core»","next":null
{"a":["«core»","«core»"],"b":{"c":"«core»"}}
\"v\":\"«core»\"
E2E: user typed «core» and pressed Enter
assert f(«tight») == ‹n›
diff: -«core»
+«core»
Re: «core» (was: «core»)
Danke für die Info. Neu gilt «core»; alt war «core».
À noter : «core» (et non «core»).
Se confirma «core» – saludos, ‹name›.
Ik stuur «core» door naar ‹name›, groetjes.
Jag har bytt till «core» från ‹date›.
Potwierdzam: «core», dnia ‹date›.
Прошу заменить «core» на «core».
確認しました：«core»、よろしくお願いします。
麻烦把«core»发给‹name›。
Teşekkürler, «core» doğru mu?
Kiitos! «core» toimii.
@‹name› can you double check «core»?
:wave: «core» :thumbsup:
✅ «core»\n❌ «core»
From chat: "«core»", then "«core»".
CASE-‹n›: caller gave «core» twice
[‹when›] (‹name›) -> «core»
‹when›|INFO|svc|«core»|ok
level=error msg="bad value «core»" n=‹n›
ts=‹epoch› v=«tight» ok=true
{"event":{"payload":"«core»","seq":‹n›}}
{"a":{"b":[{"c":"«core»"},{"c":"«core»"}]}}
"[{\"v\":\"«core»\"}]"
v;w;x\n«core»;«core»;‹n›
+----+\n| «core» |\n+----+
 ‹n› | «core» | t
x: !!str «core»
x = '''«core»'''
var x = "«core»";
final x = '«core»';
public static X = "«core»";
let x = b"«core»";
printf("%s", "«core»");
<li>«core»</li><li>«core»</li>
<x>«core»</x><!-- ‹n› -->
<meta content="«core»">
mailto:«email»?subject=‹word›
<sip:«email»>;tag=‹n›
http://[‹n›]:80 vs «ipv4»:8443/path
ping -c 3 «ipv4» && dig ‹word›
inet6 «ipv6» scope link
lladdr «mac» REACHABLE
src=«ipv4» dst=«ipv4» proto=6
X-Forwarded-For: «ipv4», «ipv4»
"ip":"«ipv6»","mac":"«mac»"
"""
TOLD_BY = r"""
‹label›: «v»
My ‹label› is «v», thanks ‹name›
‹name› (‹label› «v») asked for ‹amount›
"‹label›": "«v»",
‹label› = «v»
name,‹label›,city\n‹name›,«v»,Bern\n‹name›,«v»,Oslo
| ‹label› | since |\n|---|---|\n| «v» | ‹date› |
<tr><th>‹label›</th><td>«v»</td></tr>
‹when› INFO update ‹label›="«v»" by admin
‹label› - «v»
‹label›# «v»
Your ‹label›: «v».
‹label›(«v»)
{"‹label›":"«v»","n":‹n›}
‹label›=«v»;x=1
‹label›\tname\n«v»\t‹name›
id;‹label›;name\n‹n›;«v»;‹name›
* ‹label›: «v» (‹name›)
<‹label›>«v»</‹label›>
‹label›:«v»
‹label› is «v»
new ‹label›: «v» (was: none)
{"a":1,"‹label›":"«v»"}
‹label›,n\n«v»,‹n›\n«v»,‹n›
Please charge/call ‹label› «v» today.
"""
SAID = {
    "password": r"""
DB_PASSWORD=«v»\nDEBUG=1
export MYSQL_PWD='«v»'
spring.datasource.password=«v»
password: «v»
  password: "«v»"
{"user":"‹word›","password":"«v»"}
{\"password\":\"«v»\"}
PASSWORD ?= «v»
ADMIN_PASSWORD :::= «v»
$cfg['password'] .= '«v»';
if (password !== "«v»") { fail(); }
if pwd == '«v»':
private string password = "«v»";
var dbPassword string = "«v»"
Dim pwd As String = "«v»"
let passphrase: String = "«v»".into();
const password = '«v»';
val password: String = "«v»"
char *passwd = "«v»";
passwd => '«v»',
:password "«v»"
(setq my-password "«v»")
<password>«v»</password>
<add key="Password" value="«v»"/>
curl -u ‹word›:«v» https://api.example.com/v1
curl -sS --user '‹word›:«v»' https://api.example.com
wget --user=‹word› --password=«v» https://example.com/x
mysql -u root -p«v» shop
sshpass -p '«v»' ssh root@host
redis-cli -a «v» ping
the password is «v»
Das Passwort lautet «v»
le mot de passe est «v»
la contraseña es «v»
il wachtwoord is «v»
Hi ‹name›, here you go:\nuser: ‹word›\npassword: «v»\nLet me know!
login ‹word› / «v»
name,password,role\n‹word›,«v»,admin\n‹word›,«v»,dev
| user | password |\n|---|---|\n| ‹word› | «v» |
CREATE USER ‹word› WITH PASSWORD '«v»';
ALTER USER ‹word› IDENTIFIED BY '«v»';
machine api.example.com login ‹word› password «v»
ansible_ssh_pass=«v»
--set auth.password=«v»
requests.get(url, auth=("‹word›", "«v»"))
https://api.example.com/?user=‹word›&password=«v»
пароль: «v»
密码：«v»
passwort = "«v»"
hasło: «v»
password :::= «v»
pwd := "«v»"
$env:DB_PASSWORD = "«v»"
set DB_PASSWORD=«v»
ENV MYSQL_ROOT_PASSWORD=«v»
ARG PASSWORD="«v»"
db.password = "«v»"
[database]\npassword = «v»
{:password, "«v»"}
my $password = '«v»';
password <- "«v»"
local password = "«v»"
let password = "«v»"
-define(PASSWORD, "«v»").
define('DB_PASSWORD', '«v»');
#define WIFI_PASSWORD "«v»"
static let password: String = "«v»"
final String password = "«v»";
@password = '«v»'
private const string DbPassword = "«v»";
std::string password = "«v»";
password: String = "«v»"
{"name":"DB_PASSWORD","value":"«v»"}
- name: DB_PASSWORD\n  value: "«v»"
variable "db_password" {\n  default = "«v»"\n}
db_password = "«v»"
<property name="password" value="«v»"/>
<Password>«v»</Password>
Password: «v»
PASSWORD «v»
PGPASSWORD=«v» psql -h db
mongosh -u ‹word› -p «v» db
docker login -u ‹word› -p «v» registry.example.com
ldapsearch -D cn=‹word› -w «v»
curl --user "‹word›:«v»" -X PUT https://api.example.com
curl -k -u‹word›:«v» https://api.example.com
http -a ‹word›:«v» POST https://api.example.com
net use Z: \\\\srv\\x /user:‹word› «v»
ssh-keygen -N "«v»" -f key
zip -P «v» a.zip b
openssl rsa -passin pass:«v»
contraseña: «v»
mot de passe : «v»
parola: «v»
şifre: «v»
heslo: «v»
jelszó: «v»
salasana: «v»
κωδικός: «v»
mật khẩu: «v»
비밀번호: «v»
パスワード：«v»
كلمة المرور: «v»
my password for the portal is «v», please don't share
use «v» as the password
user ‹word› with password «v»
wifi: ‹word›, pw: «v»
Benutzer: ‹word›, Passwort: «v»
new password «v» set for ‹word›
if (pwd !== '«v»') return;
expect(login('‹word›', '«v»')).toBe(true)
client.login("‹word›", "«v»")
auth=('‹word›', '«v»')
mot de passe provisoire : «v»
Ihr neues Passwort: «v»
tu nueva contraseña es «v»
la tua password è «v»
a sua senha é «v»
twoje hasło to «v»
ваш пароль: «v»
初期パスワードは«v»です
初始密码是«v»
login: ‹word›, password: «v»
username=‹word›&password=«v»
pass = '«v»'
'password' => env('DB_PASSWORD', '«v»'),
password: {value: "«v»"}
"password" : "«v»" ,
\"password\": \"«v»\"
data.password="«v»"
user.setPassword("«v»");
config["password"] = "«v»"
config.password = '«v»';
conn = connect(host="db", user="‹word›", password="«v»")
new Client({ user: '‹word›', password: '«v»' })
.withPassword("«v»")
--password=«v»
--password «v»
MYSQL_PASSWORD: «v»
POSTGRES_PASSWORD=«v» docker compose up
docker run -e POSTGRES_PASSWORD=«v» postgres
kubectl create secret generic x --from-literal=password=«v»
<input type="password" value="«v»">
smtp_pass = "«v»"
bindpw «v»
requirepass «v»
IDENTIFIED BY "«v»"
echo '‹word›:«v»' | chpasswd
pw: «v»
PW=«v»
pwd="«v»"
passphrase = "«v»"
""",
    "spaced": r"""
password = "«v»"
"password": "«v»"
password: '«v»'
PASSWORD="«v»"
curl -u "‹word›:«v»" https://api.example.com
const password = `«v»`;
passphrase: "«v»"
const char *password = "«v»";
db_password: "«v»"
"dbPassword":"«v»"
export PASSPHRASE='«v»'
password => "«v»",
String password = "«v»";
my password is "«v»"
password := "«v»"
"passphrase": "«v»"
db.password='«v»'
PASSWORD = '«v»'
""",
    "short": r"""
curl -u ‹word›:«v» https://api.example.com
curl --user ‹word›:«v» http://10.0.0.8/x
git clone https://‹word›:«v»@git.example.com/a/b.git
http://‹word›:«v»@printer.example.com/
curl -u‹word›:«v» https://api.example.com
curl -s -u "‹word›:«v»" https://api.example.com
svn checkout https://‹word›:«v»@svn.example.com/x
proxy = http://‹word›:«v»@proxy.example.com:3128
remote.origin.url=https://‹word›:«v»@git.example.com/x.git
rtsp://‹word›:«v»@cam.example.com/1
curl --user '‹word›:«v»' https://x.example.com
curl https://x.example.com -u ‹word›:«v» -d a=b
wget http://‹word›:«v»@files.example.com/a.zip
npm config set proxy http://‹word›:«v»@proxy.example.com:8080
""",
    "token": r"""
API_KEY=«v»
export ACCESS_TOKEN="«v»"
api_key: «v»
"apiKey": "«v»",
{\"client_secret\":\"«v»\"}
secret_key = '«v»'
const authToken = "«v»";
var apiKey string = "«v»"
string clientSecret = "«v»";
API_TOKEN :::= «v»
if (apiKey !== "«v»") return 401
Authorization: Bearer «v»
curl -H 'X-Api-Key: «v»' https://api.example.com
X-Auth-Token: «v»
https://api.example.com/v1?api_key=«v»
my api key is «v»
tool --api-key «v» --verbose
<apiKey>«v»</apiKey>
name,api_key\n‹word›,«v»\n‹word›,«v»
helm upgrade x --set apiToken=«v»
//registry.example.com/:_authToken=«v»
api.key=«v»
$env:API_TOKEN = "«v»"
ENV SECRET_KEY=«v»
secret := "«v»"
define('AUTH_KEY', '«v»');
#define API_KEY "«v»"
-H "Authorization: Bearer «v»"
Authorization: Token «v»
authorization: token «v»
{"name":"API_TOKEN","value":"«v»"}
token="«v»"
access_token=«v»&expires_in=3600
Set-Cookie: session=«v»; HttpOnly
x-api-key: «v»
the token is «v»
client_secret=«v»&grant_type=client_credentials
private_token: «v»
webhook_secret = "«v»"
Your API key: «v»
"accessToken": "«v»"
- name: TOKEN\n  value: «v»
signing_key: "«v»"
encryption_key => '«v»',
SECRET_KEY_BASE=«v»
jwt_secret: «v»
API_SECRET: «v»
apikey=«v»
"api_secret" : "«v»"
'token': '«v»',
token => "«v»"
authorization: Bearer «v»
Authorization: ApiKey «v»
x-access-token: «v»
?access_token=«v»
&token=«v»
client-secret: "«v»"
client.setApiKey("«v»");
new Client({ apiKey: '«v»' })
Client(api_key="«v»")
--token=«v»
--secret-key «v»
export GH_TOKEN=«v»
my token: «v»
Ihr API-Schlüssel: «v»
clave de API: «v»
encryptionKey = "«v»"
refresh_token: «v»
consumer_secret="«v»"
""",
    "vendor": r"""
«v»
please rotate «v» today
{"key":"«v»"}
‹when› ERROR 401 for «v»
x("«v»")
- «v»
‹name›: ist das hier «v» noch gültig?
| ‹word› | «v» |
KEY=«v»
用这个«v»吧
token «v» leaked in ‹word›
"k":"«v»",
export K=«v»
+ key = «v»
‹when› bad key «v», retry
(«v»)
`«v»`
«v»,‹name›
<k>«v»</k>
Schlüssel: «v».
"«v»",
= «v»
key=«v»&x=1
<«v»>
> «v»
please use «v». Thanks!
[«v»]
‹name› posted «v» in #general
""",
    "basic": r"""
Authorization: Basic «v»
"Authorization": "Basic «v»"
{"auths":{"registry.example.com":{"auth":"«v»"}}}
curl -H 'Authorization: Basic «v»' https://x.example.com
//registry.example.com/:_auth=«v»
proxy-authorization: basic «v»
Authorization:Basic «v»
headers = {"Authorization": "Basic «v»"}
-H "Authorization: Basic «v»"
"auth": "«v»"
_auth=«v»
authorization: Basic «v»
Authorization=Basic «v»
"Proxy-Authorization":"Basic «v»"
""",
    "dockercfg": r"""
  .dockerconfigjson: «v»
".dockerconfigjson": "«v»"
.dockercfg: «v»
{"data":{".dockerconfigjson":"«v»"}}
data:\n  .dockerconfigjson: >-\n    «v»
--from-literal=.dockerconfigjson=«v»
.dockerconfigjson="«v»"
    .dockercfg: "«v»"
""",
    "connection": r"""
DATABASE_URL=«v»
url: «v»
connect("«v»")
{"dsn":"«v»"}
it connects to «v» at night
‹when› ERROR cannot reach «v»
"url": "«v»",
spring.datasource.url=«v»
export DB='«v»'
engine = create_engine("«v»")
DSN «v» failed
<url>«v»</url>
- «v»
db: "«v»"
connecting to «v»...
(«v»)
""",
}  # fmt: skip
LISTED = r"""
«p», «p», «p»
allowed: ["«p»", "«p»"]
- «p»\n- «p»\n- «p»
«p»-«p»
hosts «p» «p» «p» are up
server «p»; server «p»;
ip,name\n«p»,‹word›\n«p»,‹word›
dns: «p», «p»
("«p»", "«p»", "«p»")
«p»;«p»;«p»
«p»\n«p»\n«p»
from «p» to «p»
{"ips":["«p»","«p»"]}
up: «p» «p» «p»
nameserver «p»\nnameserver «p»
ips = ["«p»", "«p»", "«p»"]
«p», «p»
"""
MISSES = r"""
version ‹n›.‹n›.‹n›, build ‹big›
order ‹order› of ‹date›: ‹amount› EUR, invoice ‹big›
‹when› INFO id=‹uuid› sha=‹hex› offset=‹big› bytes=‹big›
commit ‹hex›‹hex›
listening on 127.0.0.1:‹n› and 0.0.0.0, mask 255.255.255.0
password = os.environ["DB_PASSWORD"]
password: ${DB_PASSWORD}
PASSWORD=<your password>
if (password !== confirmPassword) throw new Error("password mismatch");
string password = Console.ReadLine();
the password is too short, please choose another
Das Passwort ist falsch.
token = request.headers.get("X-Token")
curl -u $USER:$TOKEN https://api.example.com
curl -u "${USER}:${PASS}" https://api.example.com
const apiKey = process.env.API_KEY;
git@github.com:‹word›/‹word›.git
npm i ‹word›@‹n›.‹n›.‹n› and logo@2x.png
IBAN ‹badiban›
card ‹badcard›
account ‹badcard›
at 12:34:56, 10:20:30 and 2026:11:02
epoch ‹epoch› .. ‹epoch›
ISBN 978-3-16-148410-0, EAN 4006381333931
0.‹big›‹big›, 3.‹big›e-7
std::map<int> a::b, x::y::z()
pages ‹n›-‹n›, line ‹n›:‹n›, ratio ‹n›/‹n›
dependency==10.‹n›.‹n›.‹n›
wallet ‹badbtc›
"integrity": "sha512-‹b64›=="
retry in ‹n› ms; timeout ‹big›; seed ‹big›
pass --password-file /run/secrets/db
password_hash, password_reset_token, is_password_set
def login(user: str, password: str) -> None:
<input type="password" name="password" placeholder="Enter your password">
"password": {"type": "string", "minLength": 8}
The secret ingredient is basil; the key is patience.
‹name› passed the token to ‹name› on ‹date›
i+‹big›, n+‹epoch›
row ‹big›;‹big›;‹big›
build ‹big›-‹n› (‹hex›) finished in ‹n›s
SELECT count(*) FROM t WHERE id = ‹big› AND ts > ‹epoch›;
Traceback: line ‹n›, in f at 0x‹hex›
User-Agent: Mozilla/5.0 (X11) Chrome/120.0.6099.109 Safari/537.36
const PASSWORD_MIN_LENGTH = 12;
password_field.send_keys(password)
if (!password || password.length < 8) return "Password too short";
password = getpass.getpass("Password: ")
password: "{{ vault_db_password }}"
password = var.db_password
"password": "********"
PASSWORD=$(cat /run/secrets/db)
password=%DB_PASSWORD%
$password = $_POST['password'];
String password = request.getParameter("password");
token := r.Header.Get("Authorization")
api_key = "<YOUR_API_KEY>"
token: ${{ secrets.GITHUB_TOKEN }}
Authorization: Bearer $TOKEN
curl -u "$USER" https://api.example.com
curl -u ‹word›: https://api.example.com
El token ha caducado, la contraseña es incorrecta.
Le mot de passe est obligatoire et doit contenir 12 caractères.
La password è errata. A senha está incorreta. Het wachtwoord is onjuist.
Hasło jest nieprawidłowe. Heslo je chybné. Пароль неверный.
密码错误，请重试。パスワードが違います。
the password is stored hashed, the token is refreshed hourly
key: value, secret: false, token: null
IBAN: ‹badiban›
iban=‹badiban›
order=‹badcard›
2026/05/11 10:20:30.123456 [‹big›] worker ‹n›
10:20:30:40 01:02:03:04
x = [‹big›, ‹big›, ‹big›]
‹big›.‹big› ‹big›.‹big›
+‹n› -‹n› ±‹n›.‹n›
v‹n›.‹n›.‹n›.‹n›
python==‹n›.‹n›.‹n›.‹n›
mask 255.255.255.0 via 0.0.0.0, loopback ::1
tag: ‹word›@sha256:‹hex›‹hex›
etag "‹hex›" size ‹big›
uuid ‹uuid› parent ‹uuid›
0x‹badbtc›
addr ‹badbtc›
base64,‹b64›
foo@‹n›x.png @‹word› @media ‹word›@
http://localhost:8080/@‹word›
a ? b : c::d ? e::f : g
EAN 4006381333931, ISSN 2049-3630, DOI 10.1000/‹big›
lat 52.‹big›, lon 13.‹big›
price ‹amount› USD, total ‹amount› EUR, vat ‹n›%
enum Token { Key, Secret, Password }
type Password = string;
interface Login { user: string; password: string }
Bitte geben Sie Ihr Passwort ein. Passwort vergessen?
Votre mot de passe a expiré. Mot de passe oublié ?
¿Olvidó su contraseña? La contraseña debe tener 8 caracteres.
Enter password:
password = input("Password: ")
this.password = password;
password: process.env.PASSWORD || "",
const { password, token } = req.body;
if password != confirm:
PASSWORD_RE = re.compile(r"^[a-z]+$")
password ::= 1*CHAR
secretKeyRef:\n  name: db\n  key: password
--password-stdin
--from-file=password=./pw.txt
-u root -p
export TOKEN=$(vault read -field=token x)
Authorization: Bearer {token}
api_key=os.getenv("KEY")
"token_type": "bearer", "expires_in": 3600
csrf_token() token_count=‹n›
max_tokens=‹big›, top_k=‹n›
assertEqual(len(token), ‹n›)
order ‹order›, ref ‹big›, qty ‹n›, ‹amount›
‹date› ‹n›:‹n› ‹amount› ‹amount› ‹amount›
tcp 0 0 0.0.0.0:‹n› 0.0.0.0:* LISTEN
OpenSSL 1.1.1.‹n›, firmware ‹n›.‹n›.‹n›.‹n›
sha256:‹hex›‹hex› md5:‹hex›
W/"‹hex›" ‹uuid›
iban ‹badiban›, karte ‹badcard›
ts=‹epoch› dur=‹big›ns id=‹big›
2e‹n› 1.‹big›e+‹n› 0x‹hex›
a@b c@ @d.e x@y
data:image/png;base64,‹b64›
<T extends a::b>, x::y
12:00:00-13:30:15, 2026-05-11T10:20:30.123456Z
Matrikel ‹big›, Los ‹big›
"version": "‹n›.‹n›.‹n›-‹hex›"
"""
