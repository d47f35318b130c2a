"""The kinds of values that redaction tells apart, as data: what each is, how it may look, and which words announce it.

Names are presidio's where it has one. `words` stand near a value and say what it is; they are written in small letters, and
`-`, `_` and a change of case count as a blank (`driver license` also stands for `driverLicense` and `driver_license`).
Nothing here is code, so that the settings, the documentation and the gate can read it without loading a detector.
"""

from typing import Final, Literal, NamedTuple

Family = Literal["pii", "secrets", "names"]


class Kind(NamedTuple):
    """`checked`: a check digit or the like decides. `context`: whether a word near it is needed, helps, or plays no part."""

    name: str
    about: str
    example: str
    family: Family = "pii"
    checked: bool = False
    context: Literal["needed", "helps", "none"] = "none"
    words: tuple[str, ...] = ()


def _words(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split("|"))


_PASSPORT = "passport|passport number|travel document"

GENERAL: Final = (
    Kind("EMAIL_ADDRESS", "an e-mail address", "alice@example.com"),
    Kind(
        "PHONE_NUMBER",
        "a telephone number, national or international",
        "+1 415 555 2671",
        context="helps",
        words=_words(
            "phone|tel|tel.|tel:|telephone|téléphone|telefon|teléfono|telefono|telefone|mobile|mobil|handy|"
            "móvil|celular|cell|call me|call us|call at|call on|call him|call her|call them|call back|"
            "callback|please call|"
            "cellulare|portable|gsm|fax|whatsapp|signal|sms|text me|dial|ring|rufnummer|contact|reach me|"
            "reach us|numéro|hotline|"
            "telefoon|mobiel|puhelin|matkapuhelin|puh|tlf|mobilní|komórka|komórkowy|cep|whats app|sím|тел|"
            "телефон|τηλέφωνο|τηλ|电话|電話|手机|手機|携帯|전화|휴대폰|연락처|โทร|फोन|هاتف|טלפון|"
            "điện thoại"
        ),
    ),
    Kind(
        "CREDIT_CARD",
        "the number of a payment card",
        "4111 1111 1111 1111",
        checked=True,
        context="helps",
        words=_words(
            "card|visa|mastercard|amex|american express|credit|debit|karte|carte|tarjeta|cartão|carta|kaart|"
            "kort|kortti|karta|kart|kartı|kártya|kreditkarte|kreditkort|bankkarte|betaalkaart|bankkaart|luottokortti|"
            "карта|карты|карте|картой|κάρτα|بطاقة|כרטיס|कार्ड|卡号|卡號|信用卡|银行卡|銀行卡|カード|카드|pan:|pan|payment|cc|discover|maestro|diners|jcb|unionpay"
        ),
    ),
    Kind("IBAN_CODE", "a bank account's international number", "DE89 3704 0044 0532 0130 00", checked=True),
    Kind(
        "IP_ADDRESS",
        "an address of the net, IPv4 or IPv6",
        "203.0.113.57",
        context="helps",
        words=_words(
            "ip|ipv4|ipv6|host|hosts|addr|address|server|client|from|remote|peer|gateway|dns|connect|ping|ssh|"
            "listen|bind|port|inet|login"
        ),
    ),
    Kind(
        "MAC_ADDRESS",
        "a network card's address",
        "3c:22:fb:9a:71:0e",
        context="helps",
        words=_words(
            "mac|mac address|hardware address|physical address|ethernet|ether|hwaddr|lladdr|bssid|arp|wifi|"
            "nic|adresse mac|"
            "dirección mac|mac adresse|indirizzo mac|endereço mac|mac地址|物理地址|macアドレス"
        ),
    ),
    Kind(
        "CRYPTO",
        "a wallet's address: Bitcoin, Ethereum, Litecoin, Tron, XRP",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        checked=True,
        context="helps",
        words=_words(
            "wallet|eth|ethereum|erc20|bitcoin|btc|usdt|usdc|crypto|send to|payout address|deposit address|"
            "recipient|metamask|"
            "ledger|airdrop|кошелек|кошелёк|钱包|ウォレット|지갑|cartera|portefeuille|carteira|etherscan|address"
        ),
    ),
    Kind(
        "DATE_OF_BIRTH",
        "a date that is said to be someone's birth",
        "born on 3 May 1985",
        context="needed",
        words=_words(
            "date of birth|birth date|birthdate|birthday|birthdt|dob|d.o.b.|d.o.b|born|born on|birth_date|"
            "b-day|bday|geboren|geb.|geb|"
            "geburtsdatum|geburtstag|né le|née le|date de naissance|naissance|nacido|nacida|"
            "fecha de nacimiento|nacimiento|f. nac|"
            "nascido|nascida|data de nascimento|nascimento|nato il|nata il|data di nascita|nascita|"
            "geboortedatum|data urodzenia|"
            "urodzony|urodzona|ur.|född|födelsedatum|født|fødselsdato|fødselsdag|syntynyt|syntymäaika|"
            "syntynyt|doğum tarihi|doğum|"
            "дата рождения|родился|родилась|дата народження|出生日期|出生|生年月日|誕生日|생년월일|생일|datum narození|narozen|"
            "data nașterii|născut|születési dátum|született|ημερομηνία γέννησης|γεννήθηκε|ngày sinh|tanggal lahir|"
            "tarikh lahir|วันเกิด|जन्म तिथि|जन्मतिथि|تاريخ الميلاد|תאריך לידה|data de nascimiento|ddn|fdn"
        ),
    ),
)

NATIONAL: Final = (
    # -- North America
    Kind(
        "US_SSN", "a US social security number", "SSN 219-09-9998", context="helps",
        words=_words("ssn|ssns|social security|social sec|tax id|taxpayer|ss#|ss no|ss number"),
    ),
    Kind(
        "US_ITIN", "a US taxpayer's number", "912-90-3456", context="helps",
        words=_words("itin|taxpayer|tax id|taxid|tin|individual taxpayer|tax number|tax identification"),
    ),
    Kind(
        "US_PASSPORT", "a US passport", "US passport 312345678", context="needed",
        words=_words(_PASSPORT + "|passport no|passport#|us passport"),
    ),
    Kind(
        "US_DRIVER_LICENSE", "a US driver's licence", "driver's license D1234567", context="needed",
        words=_words(
            "driver license|driver's license|drivers license|driver licence|driver's licence|drivers licence|"
            "driving license|"
            "license number|licence number|licence no|license no|dl number|dl no|dl#|dl #|dl:|dln|operator license|"
            "state id number|cdl"
        ),
    ),
    Kind(
        "US_BANK_NUMBER", "a bank account in the US", "account number 1234567890", context="needed",
        words=_words(
            "account number|account no|acct|acct no|account #|account#|acct #|acct#|bank account|"
            "checking account|savings account|"
            "account num|direct deposit|bank acct|bank no|deposit account|account nr|accountno|a/c|"
            "a/c no|account:|account is|account="
        ),
    ),
    Kind(
        "ABA_ROUTING_NUMBER", "a US bank's routing number", "routing number 121000358", checked=True, context="needed",
        words=_words("aba|routing|routing number|rtn|routing no|routing transit|transit number|bankrouting|abarouting"),
    ),
    Kind(
        "US_NPI", "a US health care provider", "NPI 1245319599", checked=True, context="needed",
        words=_words("npi|national provider|provider id|provider identifier|provider number|prescriber|provider"),
    ),
    Kind(
        "US_MBI", "a US Medicare beneficiary", "1EG4-TE5-MK73", context="helps",
        words=_words("medicare|mbi|beneficiary|medicaid|hicn"),
    ),
    Kind(
        "MEDICAL_LICENSE", "a US prescriber (DEA)", "DEA number BB1388568", checked=True, context="needed",
        words=_words("dea|medical license|medical licence|prescriber|controlled substance|medical certificate|dea number|"
            "physician"),
    ),
    Kind(
        "CA_SIN", "a Canadian social insurance number", "SIN 046 454 286", checked=True, context="needed",
        words=_words("sin|social insurance|social insurance number|nas|numéro d'assurance sociale|assurance sociale"),
    ),
    # -- Latin America
    Kind(
        "BR_CPF", "a Brazilian taxpayer", "390.533.447-05", checked=True, context="helps",
        words=_words("cpf|cadastro de pessoas|contribuinte|documento|cpf/mf"),
    ),
    Kind(
        "BR_CNPJ", "a Brazilian company", "16.727.230/0001-97", checked=True, context="helps",
        words=_words("cnpj|empresa|cadastro nacional|razão social"),
    ),
    Kind(
        "MX_CURP", "a Mexican population number", "BOXW310820HNERXN09", checked=True, context="helps",
        words=_words("curp|clave única|clave unica de registro"),
    ),
    Kind(
        "MX_RFC", "a Mexican taxpayer", "RFC GODE561231GR8", context="needed",
        words=_words("rfc|registro federal|contribuyente|contribuyentes"),
    ),
    Kind(
        "CL_RUT", "a Chilean tax number", "12.531.909-2", checked=True, context="helps",
        words=_words("rut|run|r.u.t.|rol único|rol unico tributario|cédula"),
    ),
    Kind(
        "AR_CUIT", "an Argentine tax number", "20-05536168-2", checked=True, context="helps",
        words=_words("cuit|cuil|clave única|afip|arca"),
    ),
    Kind(
        "AR_DNI", "an Argentine identity document", "DNI 20.123.456", context="needed",
        words=_words("dni|documento nacional|documento nº|documento n°|documento de identidad|documento"),
    ),
    Kind(
        "CO_NIT", "a Colombian tax number", "NIT 213.123.432-1", checked=True, context="needed",
        words=_words("nit|número de identificación tributaria|identificación tributaria"),
    ),
    Kind(
        "EC_CI", "an Ecuadorian identity card", "cédula 171430710-3", checked=True, context="needed",
        words=_words("cédula|cedula|ci|c.i.|identidad"),
    ),
    Kind(
        "PE_DNI", "a Peruvian identity document", "DNI 10117410-2", context="needed",
        words=_words("dni|cui|documento nacional|documento de identidad"),
    ),
    Kind(
        "VE_RIF", "a Venezuelan tax number", "RIF V-11470283-4", checked=True, context="helps",
        words=_words("rif|cédula|registro de información fiscal"),
    ),
    Kind(
        "DO_CEDULA", "a Dominican identity card", "cédula 001-1391820-5", checked=True, context="needed",
        words=_words("cédula|cedula|identidad"),
    ),
    Kind(
        "UY_CI", "a Uruguayan identity card", "cédula 1.234.567-2", checked=True, context="needed",
        words=_words("cédula|cedula|ci|c.i.|identidad"),
    ),
    # -- United Kingdom and Ireland
    Kind(
        "UK_NHS", "a patient's number in England", "NHS number 943 476 5870", checked=True, context="needed",
        words=_words("nhs|national health service|health service|health authority|patient|nhs number"),
    ),
    Kind(
        "UK_NINO", "a UK national insurance number", "AB 12 34 56 C", context="helps",
        words=_words("national insurance|ni number|nino|ni no|insurance number|ni:"),
    ),
    Kind(
        "UK_PASSPORT", "a UK passport", "British passport AB1234567", context="needed",
        words=_words(_PASSPORT + "|british passport|uk passport|hm passport|hmpo"),
    ),
    Kind(
        "UK_DRIVING_LICENCE", "a UK driving licence", "MORGA657054SM9IJ", context="helps",
        words=_words("driving licence|driver licence|driver's licence|driving license|dvla|licence|licence number"),
    ),
    Kind(
        "UK_POSTCODE", "a UK postcode", "postcode SW1A 1AA", context="needed",
        words=_words(
            "postcode|post code|postal code|address|delivery|mailing|shipping|correspondence|street|road|lane|"
            "avenue|london|lives at"
        ),
    ),
    Kind(
        "UK_VEHICLE_REGISTRATION", "a UK vehicle's plate", "registration AB51 ABC", context="needed",
        words=_words(
            "vehicle registration|number plate|licence plate|license plate|vrn|vrm|dvla|v5c|reg plate|car reg|reg no|"
            "registration|reg number|registration number|plate|vehicle|car"
        ),
    ),
    Kind(
        "UK_UTR", "a UK taxpayer", "UTR 1955839661", checked=True, context="needed",
        words=_words("utr|unique taxpayer reference|self assessment|taxpayer reference"),
    ),
    Kind(
        "IE_PPS", "an Irish public service number", "PPS 6433435F", checked=True, context="needed",
        words=_words("pps|ppsn|pps number|pps no|personal public service|uimhir psp"),
    ),
    # -- Western Europe
    Kind(
        "DE_TAX_ID", "a German taxpayer", "Steuer-ID 36 574 261 809", checked=True, context="needed",
        words=_words(
            "steuer id|steueridentifikationsnummer|steuer identifikationsnummer|"
            "steuerliche identifikationsnummer|idnr|tin|tax id|steuernummer|"
            "identifikationsnummer|steuer idnr|steuerid|tax identification|tax number|idnr.|id nr"
        ),
    ),
    Kind(
        "DE_SOCIAL_SECURITY", "a German pension insurance number", "Sozialversicherungsnummer 15070649C103", checked=True,
        context="helps",
        words=_words(
            "sozialversicherungsnummer|rentenversicherungsnummer|versicherungsnummer|sv nummer|svnr|rvnr|"
            "sozialversicherung|"
            "rentenversicherung|social security|sv nr"
        ),
    ),
    Kind(
        "DE_ID_CARD", "a German identity card", "Personalausweis L01X00T471", context="needed",
        words=_words("personalausweis|ausweisnummer|ausweis|identity card|id card|perso nr|personalausweisnummer|ausweis nr"),
    ),
    Kind(
        "DE_PASSPORT", "a German passport", "Reisepass C01X00T478", context="needed",
        words=_words("reisepass|pass nr|passnummer|german passport|reisepassnummer|passport|passport number|passport no"),
    ),
    Kind(
        "DE_HEALTH_INSURANCE", "a German health insurance number", "Krankenversichertennummer A123456780", checked=True,
        context="needed",
        words=_words("krankenversichertennummer|krankenversicherung|kvnr|versichertennummer|krankenkasse|"
            "health insurance|gesundheitskarte"),
    ),
    Kind(
        "FR_NIR", "a French social security number", "2 95 10 99 126 111 93", checked=True, context="helps",
        words=_words("nir|sécurité sociale|numéro de sécurité sociale|sécu|insee|n° ss|numéro ss|social security|secu"),
    ),
    Kind(
        "FR_NIF", "a French taxpayer", "numéro fiscal 3023217600053", checked=True, context="needed",
        words=_words("numéro fiscal|fiscal|nif|spi|impôts|identifiant fiscal|avis d'imposition|tin"),
    ),
    Kind(
        "NL_BSN", "a Dutch citizen", "BSN 111222333", checked=True, context="needed",
        words=_words("bsn|burgerservicenummer|burger service nummer|sofinummer|sofi|citizen service number|persoonsnummer"),
    ),
    Kind(
        "BE_NATIONAL_NUMBER", "a Belgian national number", "85.07.30-033.28", checked=True, context="helps",
        words=_words(
            "rijksregisternummer|registre national|numéro national|numéro de registre|nationaal nummer|"
            "rijksregister|insz|niss|"
            "rrn|national register|national number|nn|identificatienummer|bis nummer"
        ),
    ),
    Kind(
        "CH_AHV", "a Swiss social insurance number", "756.9217.0769.85", checked=True, context="helps",
        words=_words("ahv|avs|ahv nummer|ahvn13|navs|sozialversicherungsnummer|numéro avs|oasi"),
    ),
    Kind(
        "AT_SVNR", "an Austrian social insurance number", "SVNR 1237 010180", checked=True, context="needed",
        words=_words("svnr|sozialversicherungsnummer|sv nummer|versicherungsnummer|svn|sozialversicherung|sv nr|vsnr"),
    ),
    Kind(
        "ES_NIF", "a Spanish identity number", "54362315K", checked=True, context="helps",
        words=_words("nif|dni|documento nacional|identificación|identidad|dni/nif"),
    ),
    Kind(
        "ES_NIE", "a foreigner's number in Spain", "X2482300W", checked=True, context="helps",
        words=_words("nie|extranjero|número de identidad de extranjero|número de identificación de extranjero"),
    ),
    Kind(
        "ES_PASSPORT", "a Spanish passport", "pasaporte AAA123456", context="needed",
        words=_words("pasaporte|número de pasaporte|spanish passport|passport"),
    ),
    Kind(
        "PT_NIF", "a Portuguese taxpayer", "NIF 501964843", checked=True, context="needed",
        words=_words("nif|contribuinte|número de identificação fiscal|identificação fiscal|nipc"),
    ),
    Kind(
        "PT_CITIZEN_CARD", "a Portuguese citizen card", "cartão de cidadão 00000000 0 ZZ4", checked=True, context="needed",
        words=_words("cartão de cidadão|cartão cidadão|citizen card|bilhete de identidade|documento de identificação"),
    ),
    Kind(
        "IT_FISCAL_CODE", "an Italian fiscal code", "RSSMRA85T10A562S", checked=True, context="helps",
        words=_words("codice fiscale|fiscal code|italian tax|cf|c.f.|cod. fisc|codfisc|cod fiscale"),
    ),
    Kind(
        "IT_VAT_CODE", "an Italian VAT number", "partita IVA 00743110157", checked=True, context="needed",
        words=_words("piva|partita iva|p.iva|p. iva|p iva|vat|iva|vat number"),
    ),
    Kind(
        "IT_PASSPORT", "an Italian passport", "passaporto YA1234567", context="needed",
        words=_words("passaporto|passaporto n|numero passaporto|italian passport|documento di viaggio|passaporto elettronico"),
    ),
    Kind(
        "IT_IDENTITY_CARD", "an Italian identity card", "carta d'identità CA12345AB", context="needed",
        words=_words("carta d'identità|carta di identità|cie|carta identità|documento di riconoscimento|"
            "identità|italian id|documento"),
    ),
    Kind(
        "IT_DRIVER_LICENSE", "an Italian driving licence", "patente di guida AA0123456B", context="needed",
        words=_words("patente|patente di guida|licenza di guida|licenza|italian driver|driving licence|driver license"),
    ),
    Kind(
        "GR_AMKA", "a Greek social security number", "ΑΜΚΑ 01013099997", checked=True, context="needed",
        words=_words("amka|αμκα|α.μ.κ.α."),
    ),
    Kind(
        "GR_AFM", "a Greek taxpayer", "ΑΦΜ 094259216", checked=True, context="needed",
        words=_words("afm|αφμ|α.φ.μ.|tax number|φορολογικού μητρώου"),
    ),
    Kind(
        "EU_VAT", "a VAT number of the European Union", "VAT ATU57194903", checked=True, context="needed",
        words=_words(
            "vat|vat number|vat id|vat no|ust idnr|ust id|ustid|umsatzsteuer|"
            "umsatzsteuer identifikationsnummer|tva|n° tva|"
            "numéro de tva|iva|btw|btw nummer|moms|momsnr|alv|nip|dph|dič|áfa|ддс|φπα|pvm|pvn|kmkr|ddv"
        ),
    ),
    # -- the North
    Kind(
        "DK_CPR", "a Danish person's number", "CPR 211062-5629", context="needed",
        words=_words("cpr|cpr nummer|cpr nr|personnummer|cprnr|person number|cpr no"),
    ),
    Kind(
        "SE_PERSONNUMMER", "a Swedish person's number", "personnummer 880320-0016", checked=True, context="needed",
        words=_words(
            "personnummer|pnr|personnr|swedish personal|personal number|"
            "personal no|person nr|samordningsnummer|personal identity number|person number|pers.nr|svensk"
        ),
    ),
    Kind(
        "NO_FODSELSNUMMER", "a Norwegian birth number", "151086 95088", checked=True, context="helps",
        words=_words("fødselsnummer|fodselsnummer|fnr|personnummer|d nummer|fødselsnr|national identity number|birth number"),
    ),
    Kind(
        "FI_PERSONAL_IDENTITY_CODE", "a Finnish personal identity code", "131052-308T", checked=True, context="helps",
        words=_words("hetu|henkilötunnus|personbeteckning|personal identity code|sotu"),
    ),
    Kind(
        "IS_KENNITALA", "an Icelandic person's number", "kennitala 120174-3399", checked=True, context="needed",
        words=_words("kennitala|kt|kt.|icelandic id"),
    ),
    Kind(
        "EE_ISIKUKOOD", "an Estonian personal code", "isikukood 36805280109", checked=True, context="needed",
        words=_words("isikukood|ik|personal code|id kood|estonian id"),
    ),
    Kind(
        "LT_ASMENS_KODAS", "a Lithuanian personal code", "asmens kodas 33309240064", checked=True, context="needed",
        words=_words("asmens kodas|asmens|a.k.|personal code|kodas"),
    ),
    Kind(
        "LV_PERSONAS_KODS", "a Latvian personal code", "personas kods 161175-19997", context="needed",
        words=_words("personas kods|p.k.|personal code|kods|personas koda"),
    ),
    # -- Central and Eastern Europe
    Kind(
        "PL_PESEL", "a Polish person's number", "PESEL 44051401359", checked=True, context="needed",
        words=_words("pesel|numer pesel|nr pesel"),
    ),
    Kind(
        "PL_NIP", "a Polish taxpayer", "NIP 8567346215", checked=True, context="needed",
        words=_words("nip|numer identyfikacji podatkowej|nr nip"),
    ),
    Kind(
        "CZ_RODNE_CISLO", "a Czech or Slovak birth number", "710319/2745", checked=True, context="helps",
        words=_words("rodné číslo|rodne cislo|rč|r.č.|birth number|rodné č|rc"),
    ),
    Kind(
        "RO_CNP", "a Romanian person's number", "CNP 1630615123457", checked=True, context="needed",
        words=_words("cnp|cod numeric personal|cod numeric|codul numeric"),
    ),
    Kind(
        "BG_EGN", "a Bulgarian citizen's number", "ЕГН 7523169263", checked=True, context="needed",
        words=_words("egn|егн|единен граждански номер|лнч|civil number"),
    ),
    Kind(
        "HR_OIB", "a Croatian personal number", "OIB 33392005961", checked=True, context="needed",
        words=_words("oib|osobni identifikacijski broj|identifikacijski broj"),
    ),
    Kind(
        "SI_EMSO", "a citizen's number of Slovenia and its neighbours (JMBG)", "EMŠO 0101006500006", checked=True,
        context="needed",
        words=_words("emšo|emso|jmbg|јмбг|матични број|matični broj|embg|ембг"),
    ),
    Kind(
        "UA_RNOKPP", "a Ukrainian taxpayer", "РНОКПП 1759013776", checked=True, context="needed",
        words=_words("рнокпп|іпн|ідентифікаційний|rnokpp|rntrc|ipn|податковий номер|ідентифікаційний код"),
    ),
    Kind(
        "RU_INN", "a Russian taxpayer", "ИНН 123456789047", checked=True, context="needed",
        words=_words("инн|inn|идентификационный номер налогоплательщика"),
    ),
    Kind(
        "RU_SNILS", "a Russian insurance number", "112-233-445 95", checked=True, context="helps",
        words=_words("снилс|snils|страховой номер|пенсионное страхование"),
    ),
    Kind(
        "RU_PASSPORT", "a Russian passport", "паспорт 4509 123456", context="needed",
        words=_words("паспорт|серия|паспорта|серия и номер|russian passport"),
    ),
    Kind(
        "TR_NATIONAL_ID", "a Turkish citizen's number", "TC kimlik 17291716060", checked=True, context="needed",
        words=_words("tc kimlik|t.c. kimlik|kimlik|tckn|tc no|kimlik no|tc|kimlik numarası|turkish id"),
    ),
    # -- Asia and the Pacific
    Kind(
        "CN_RIC", "a Chinese resident's number", "360426199101010071", checked=True, context="helps",
        words=_words("身份证|身份證|居民身份证|身份证号|resident identity|citizen id|公民身份号码|证件号"),
    ),
    Kind(
        "HK_ID_CARD", "a Hong Kong identity card", "A123456(3)", checked=True, context="helps",
        words=_words("hkid|hong kong id|hong kong identity|香港身份證|香港身份证|身份證"),
    ),
    Kind(
        "TW_NATIONAL_ID", "a Taiwanese identity card", "身分證 A123456789", checked=True, context="needed",
        words=_words("身分證|身份證|身分證字號|national id|taiwan id|國民身分證|居留證"),
    ),
    Kind(
        "JP_MY_NUMBER", "a Japanese individual number", "マイナンバー 6214 9832 0257", checked=True, context="needed",
        words=_words("マイナンバー|個人番号|my number|mynumber|individual number|kojin bango"),
    ),
    Kind(
        "KR_RRN", "a Korean resident's number", "971013-2019903", checked=True, context="helps",
        words=_words("주민등록번호|주민번호|주민등록|rrn|resident registration|korean rrn"),
    ),
    Kind(
        "KR_FRN", "a foreigner's number in Korea", "911124-5678906", context="helps",
        words=_words("외국인등록번호|외국인번호|frn|foreigner registration|alien registration"),
    ),
    Kind(
        "KR_BRN", "a Korean business", "사업자등록번호 116-82-00276", checked=True, context="needed",
        words=_words("사업자등록번호|사업자번호|사업자|brn|business registration|business number|tax registration"),
    ),
    Kind(
        "KR_PASSPORT", "a Korean passport", "여권 M123A4567", context="needed",
        words=_words("여권|여권번호|대한민국 여권|korean passport|" + _PASSPORT),
    ),
    Kind(
        "KR_DRIVER_LICENSE", "a Korean driving licence", "운전면허 11-22-123456-12", context="needed",
        words=_words("운전면허|운전면허번호|면허번호|korean driver|driver license|driver's license|driving license|"
            "driver's licence"),
    ),
    Kind(
        "IN_PAN", "an Indian taxpayer", "ACUPA7085R", context="helps",
        words=_words("permanent account number|pan|pan card|pan no|income tax"),
    ),
    Kind(
        "IN_AADHAAR", "an Indian resident", "Aadhaar 2341 2341 2346", checked=True, context="needed",
        words=_words("aadhaar|aadhar|uidai|uid|आधार|adhaar|vid"),
    ),
    Kind(
        "IN_GSTIN", "an Indian taxpayer under GST", "27AAPFU0939F1ZV", checked=True, context="helps",
        words=_words("gstin|gst|goods and services tax|gst number|gst registration"),
    ),
    Kind(
        "IN_VEHICLE_REGISTRATION", "an Indian vehicle's plate", "vehicle KA53ME3456", context="needed",
        words=_words("vehicle|plate|registration|rto|number plate|vehicle number|registration number|reg no|car|bike|gaadi"),
    ),
    Kind(
        "IN_VOTER", "an Indian voter", "voter KSD1287349", context="needed",
        words=_words("voter|voter id|epic|elector|election card|elector photo|voter card|vote"),
    ),
    Kind(
        "IN_PASSPORT", "an Indian passport", "Indian passport A2096457", context="needed",
        words=_words(_PASSPORT + "|indian passport|पासपोर्ट"),
    ),
    Kind(
        "PK_CNIC", "a Pakistani identity card", "34201-0891231-8", checked=True, context="helps",
        words=_words("cnic|nic|nadra|identity card|شناختی کارڈ|nicop"),
    ),
    Kind(
        "SG_NRIC_FIN", "a resident of Singapore", "S1234567D", checked=True, context="helps",
        words=_words("nric|fin|fin#|nric#|identity card|nric/fin|singapore id|ic no|ic number"),
    ),
    Kind(
        "SG_UEN", "a company of Singapore", "UEN 00192200M", checked=True, context="needed",
        words=_words("uen|unique entity number|acra|business registration|entity number"),
    ),
    Kind(
        "MY_NRIC", "a Malaysian identity card", "770305-02-1234", checked=True, context="helps",
        words=_words("nric|mykad|kad pengenalan|ic number|ic no|no. kp|no kp|identity card"),
    ),
    Kind(
        "ID_NIK", "an Indonesian citizen", "NIK 3171011708450001", checked=True, context="needed",
        words=_words("nik|ktp|nomor induk kependudukan|induk kependudukan|e ktp"),
    ),
    Kind(
        "TH_TNIN", "a Thai citizen", "1-2345-45678-78-1", checked=True, context="helps",
        words=_words("ประชาชน|thai national id|thai id|tnin|national id|citizen id|รหัสปชช"),
    ),
    Kind(
        "VN_CCCD", "a Vietnamese citizen", "CCCD 001099012345", context="needed",
        words=_words("cccd|căn cước|căn cước công dân|cmnd|chứng minh nhân dân|số cccd"),
    ),
    Kind(
        "PH_TIN", "a Philippine taxpayer", "TIN 123-456-789-000", context="needed",
        words=_words("tin|tax identification|bir|taxpayer"),
    ),
    Kind(
        "AU_ABN", "an Australian business", "ABN 51 824 753 556", checked=True, context="helps",
        words=_words("abn|australian business number|business number"),
    ),
    Kind(
        "AU_ACN", "an Australian company", "ACN 004 085 616", checked=True, context="needed",
        words=_words("acn|australian company number|company number|arbn"),
    ),
    Kind(
        "AU_TFN", "an Australian taxpayer", "TFN 123 456 782", checked=True, context="needed",
        words=_words("tfn|tax file number|tax file"),
    ),
    Kind(
        "AU_MEDICARE", "an Australian Medicare card", "Medicare 2123 45670 1", checked=True, context="needed",
        words=_words("medicare|medicare card|medicare number|medicare no"),
    ),
    Kind(
        "NZ_IRD", "a New Zealand taxpayer", "IRD 49-098-576", checked=True, context="needed",
        words=_words("ird|inland revenue|ird number|ird no"),
    ),
    # -- Africa and the Middle East
    Kind(
        "ZA_ID_NUMBER", "a South African identity number", "ID number 7503305044089", checked=True, context="needed",
        words=_words("id number|identity number|south african id|sa id|rsa id|id no|identity document|sa id number"),
    ),
    Kind(
        "NG_NIN", "a Nigerian identity number", "NIN 12345678901", context="needed",
        words=_words("nin|national identification number|national identity number|nimc|national identity|nigerian"),
    ),
    Kind(
        "NG_VEHICLE_REGISTRATION", "a Nigerian vehicle's plate", "plate number ABC-123DE", context="needed",
        words=_words("plate number|vehicle registration|license plate|number plate|plate|vehicle|registration|plate no"),
    ),
    Kind(
        "IL_ID_NUMBER", "an Israeli identity number", "תעודת זהות 39337423", checked=True, context="needed",
        words=_words("תעודת זהות|ת.ז|ת\"ז|teudat zehut|israeli id|identity number|id number|מספר זהות"),
    ),
    Kind(
        "EG_NATIONAL_ID", "an Egyptian citizen", "national ID 29001011234567", context="needed",
        words=_words("الرقم القومي|رقم قومي|egyptian id|national id|بطاقة"),
    ),
    Kind(
        "PASSPORT", "a passport of another country", "passeport 19AB12345", context="needed",
        words=_words(
            "passeport|numéro de passeport|paspoort|passaporte|pasaporte|reisepass|paszport|pasaport|passin numero|"
            "pass nr|pas nr|útlevél|pașaport|"
            "護照|护照|パスポート|旅券|паспорт|διαβατήριο|cestovní pas|putovnica|hộ chiếu|paspor|หนังสือเดินทาง|جواز سفر|דרכון|"
            + _PASSPORT
        ),
    ),
)  # fmt: skip

SECRET: Final = (
    Kind("API_KEY", "a key or token of a service", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "secrets"),
    Kind("PRIVATE_KEY", "a private key", "-----BEGIN PRIVATE KEY-----…", "secrets"),
    Kind("JWT", "a JSON web token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNry…", "secrets"),
    Kind("PASSWORD", "a password that its surroundings give away", "the password is hunter2", "secrets"),
    Kind(
        "CONNECTION_STRING", "the address of a database with its password", "postgres://app:s3cr3t@db:5432/x", "secrets"
    ),
)

NAMED: Final = (
    Kind("PERSON", "a person's name, with `redaction.ner` on", "Grace Hopper", "names"),
    Kind("LOCATION", "a place, with `redaction.ner` on", "Lisbon", "names"),
    Kind("ORGANIZATION", "a company or other body, with `redaction.ner` on", "the Red Cross", "names"),
)

KINDS: Final[tuple[Kind, ...]] = (*GENERAL, *NATIONAL, *SECRET, *NAMED)
BY_NAME: Final = {kind.name: kind for kind in KINDS}


def names(family: Family) -> tuple[str, ...]:
    """The names of a family's kinds."""
    return tuple(kind.name for kind in KINDS if kind.family == family)
