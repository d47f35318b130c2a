"""How national ids are written, and which check decides: one row a kind, read by the gate and by `ids`.

`shapes` are tried where a word of the kind stands near (both cases), `alone` everywhere (capitals only): those have a form
or check digits that hardly anything else has. `check` names, in order of preference, presidio's recogniser or a module of
python-stdnum, or one of our own; the first that is installed decides. Sources: presidio's recognisers (MIT), the modules
of python-stdnum, and the issuing bodies' descriptions of the formats.
"""

from typing import Final, NamedTuple


class Row(NamedTuple):
    """`reach`: characters that may stand between the word and the value."""

    entity: str
    shapes: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    reach: int = 60


_PLATE_UK = r"[A-HJ-PR-Y]{2}[0-9]{2}[ -]?[A-HJ-PR-Z]{3}"
_MONTH_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_MBI = (
    r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]",
    r"[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]",
    r"[AC-HJKMNP-RT-Y]{2}[0-9]{2}",
)
_GERMAN = "[CFGHJKLMNPRTVWXYZ0-9]"
_EU = (
    r"(?:ATU[0-9]{8}|BE[01][0-9]{9}|BG[0-9]{9,10}|CY[0-9]{8}[A-Z]|CZ[0-9]{8,10}|DE[0-9]{9}|DK[0-9]{8}|EE[0-9]{9}|EL[0-9]{9}|"
    r"ES[0-9A-Z][0-9]{7}[0-9A-Z]|FI[0-9]{8}|FR[0-9A-Z]{2}[0-9]{9}|HR[0-9]{11}|HU[0-9]{8}|IE[0-9][0-9A-Z+*][0-9]{5}[A-Z]{1,2}|"
    r"IT[0-9]{11}|LT(?:[0-9]{9}|[0-9]{12})|LU[0-9]{8}|LV[0-9]{11}|MT[0-9]{8}|NL[0-9]{9}B[0-9]{2}|PL[0-9]{10}|PT[0-9]{9}|"
    r"RO[0-9]{2,10}|SE[0-9]{12}|SI[0-9]{8}|SK[0-9]{10})"
)

ROWS: Final = (
    # -- North America
    Row(
        "US_ITIN",
        (r"9[0-9]{2}[ -]?[5-9][0-9][ -]?[0-9]{4}",),
        (r"9[0-9]{2}-(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])-[0-9]{4}",),
        ("presidio:UsItinRecognizer",),
    ),
    Row("US_PASSPORT", (r"[A-Z][0-9]{8}", r"[0-9]{9}"), check=("presidio:UsPassportRecognizer",), reach=32),
    Row(
        "US_DRIVER_LICENSE",
        (
            r"[A-Z][0-9]{3}[ -][0-9]{3,4}[ -][0-9]{2,4}(?:[ -][0-9]{1,4})?",
            r"[A-Z]{1,2}[0-9]{5,14}[A-Z]?",
            r"[0-9]{7,12}",
            r"[0-9]{2}[A-Z]{3}[0-9]{5}",
        ),
        reach=32,
    ),
    Row("US_BANK_NUMBER", (r"[0-9]{8,17}", r"[0-9]{3,6}(?:[ -][0-9]{3,6}){1,4}"), check=("own:bank",), reach=28),
    Row(
        "ABA_ROUTING_NUMBER",
        (r"[0-9]{9}", r"[0-9]{4}-[0-9]{4}-[0-9]"),
        check=("presidio:AbaRoutingRecognizer", "stdnum:us.rtn"),
    ),
    Row("US_NPI", (r"[12][0-9]{9}", r"[12][0-9]{3}[ -][0-9]{3}[ -][0-9]{3}"), check=("own:npi",)),
    Row("US_MBI", ("-?".join(_MBI),), ("-".join(_MBI),)),
    Row("MEDICAL_LICENSE", (r"[A-HJ-MPRSTUX][A-Z9][0-9]{7}",), check=("own:dea",)),
    Row(
        "CA_SIN",
        (r"[1-79][0-9]{2}([ .-]?)[0-9]{3}\1[0-9]{3}", r"0[0-9]{2}([ -])[0-9]{3}\1[0-9]{3}"),
        check=("own:luhn",),
    ),
    # -- Latin America
    Row(
        "BR_CPF",
        (r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}[ -]?[0-9]{2}", r"[0-9]{3} [0-9]{3} [0-9]{3}[ -][0-9]{2}"),
        (r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}",),
        ("stdnum:br.cpf",),
    ),
    Row(
        "BR_CNPJ",
        (r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}/?[0-9]{4}-?[0-9]{2}",),
        (r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}",),
        ("stdnum:br.cnpj",),
    ),
    Row(
        "MX_CURP",
        (r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]",),
        (r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]",),
        ("stdnum:mx.curp",),
    ),
    Row("MX_RFC", (r"[A-Z&Ñ]{3,4}[ -]?[0-9]{6}[ -]?[0-9A-Z]{3}",), check=("stdnum:mx.rfc",)),
    Row(
        "CL_RUT",
        (r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-?[0-9K]",),
        (r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9K]",),
        ("stdnum:cl.rut",),
    ),
    Row("AR_CUIT", (r"[0-9]{2}[ -]?[0-9]{8}[ -]?[0-9]",), (r"(?:2[03-7]|3[034])-[0-9]{8}-[0-9]",), ("stdnum:ar.cuit",)),
    Row("AR_DNI", (r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}", r"[0-9]{7,8}"), check=("stdnum:ar.dni",), reach=24),
    Row("CO_NIT", (r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-?[0-9]", r"[0-9]{9}-?[0-9]"), check=("stdnum:co.nit",)),
    Row("EC_CI", (r"[0-9]{9}-?[0-9]",), check=("stdnum:ec.ci",)),
    Row("PE_DNI", (r"[0-9]{8}(?:-[0-9A-K])?",), check=("stdnum:pe.cui",), reach=24),
    Row("VE_RIF", (r"[VEJPG]-?[0-9]{8}-?[0-9]",), (r"[VEJPG]-[0-9]{8}-[0-9]",), ("stdnum:ve.rif",)),
    Row("DO_CEDULA", (r"[0-9]{3}-?[0-9]{7}-?[0-9]",), check=("stdnum:do.cedula",)),
    Row("UY_CI", (r"[1-9]\.[0-9]{3}\.[0-9]{3}-[0-9]", r"[0-9]{6,7}-[0-9]"), check=("own:uruguay",)),
    # -- United Kingdom and Ireland
    Row("UK_NHS", (r"[0-9]{3}([ -]?)[0-9]{3}\1[0-9]{4}",), check=("stdnum:gb.nhs",)),
    Row(
        "UK_NINO",
        (r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-D]",),
        (r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:[0-9]{6}| ?[0-9]{2} [0-9]{2} [0-9]{2} ?)[A-D]",),
        ("own:nino",),
    ),
    Row("UK_PASSPORT", (r"[A-Z]{2}[0-9]{7}", r"[0-9]{9}"), reach=32),
    Row(
        "UK_DRIVING_LICENCE",
        (r"[A-Z]{1,5}9{0,4}[0-9]{6}[A-Z9]{2}[0-9A-Z][A-Z]{2}",),
        (r"[A-Z]{2,5}9{0,3}[0-9][0156][0-9][0-3][0-9][0-9][A-Z9]{2}[0-9A-Z][A-Z]{2}",),
        ("own:driver_uk",),
    ),
    Row(
        "UK_POSTCODE",
        (
            r"(?:GIR ?0AA|[A-PR-UWYZ](?:[0-9][ABCDEFGHJKPSTUW]?|[0-9]{2}|[A-HK-Y][0-9][ABEHMNPRVWXY]?|[A-HK-Y][0-9]{2})"
            r" [0-9][ABD-HJLNP-UW-Z]{2})",
        ),
        check=("own:capitals",),
    ),
    Row("UK_VEHICLE_REGISTRATION", (_PLATE_UK,), check=("own:capitals",), reach=32),
    Row("UK_UTR", (r"[0-9]{5} ?[0-9]{5}",), check=("stdnum:gb.utr",)),
    Row("IE_PPS", (r"[0-9]{7}[ -]?[A-W][A-IW]?",), check=("stdnum:ie.pps",)),
    # -- Western Europe
    Row("DE_TAX_ID", (r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",), check=("stdnum:de.idnr",)),
    Row(
        "DE_SOCIAL_SECURITY",
        (r"[0-9]{2} ?[0-9]{6} ?[A-Z] ?[0-9]{3}",),
        (r"[0-9]{2} ?[0-3][0-9](?:0[1-9]|1[0-2])[0-9]{2} ?[A-Z] ?[0-9]{3}",),
        ("own:pension_de",),
    ),
    Row("DE_ID_CARD", (rf"[LMNPRTVWXY]{_GERMAN}{{8}}[0-9]?",), check=("own:document_de",)),
    Row("DE_PASSPORT", (rf"[CFGHJK]{_GERMAN}{{8}}[0-9]?",), check=("own:document_de",)),
    Row("DE_HEALTH_INSURANCE", (r"[A-Z][0-9]{9}",), check=("own:health_de",)),
    Row(
        "FR_NIR",
        (r"[1278][ .-]?[0-9]{2}[ .-]?[0-9]{2}[ .-]?(?:[0-9]{2}|2[AB])[ .-]?[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{2}",),
        (r"[12]( ?)[0-9]{2}\1(?:0[1-9]|1[0-2]|[2-9][0-9])\1(?:[0-9]{2}|2[AB])\1[0-9]{3}\1[0-9]{3} ?[0-9]{2}",),
        ("stdnum:fr.nir",),
    ),
    Row("FR_NIF", (r"[0-3][0-9] ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",), check=("stdnum:fr.nif",)),
    Row(
        "NL_BSN",
        (r"[0-9]{9}", r"[0-9]{4}[ .][0-9]{2}[ .][0-9]{3}", r"[0-9]{3}[ .][0-9]{3}[ .][0-9]{3}"),
        check=("stdnum:nl.bsn",),
    ),
    Row(
        "BE_NATIONAL_NUMBER",
        (r"[0-9]{2}[ .]?[0-9]{2}[ .]?[0-9]{2}[ -]?[0-9]{3}[ .]?[0-9]{2}",),
        (r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}",),
        ("stdnum:be.nn", "stdnum:be.bis"),
    ),
    Row(
        "CH_AHV",
        (r"756[ .]?[0-9]{4}[ .]?[0-9]{4}[ .]?[0-9]{2}",),
        (r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}",),
        ("stdnum:ch.ssn",),
    ),
    Row("AT_SVNR", (r"[1-9][0-9]{3}[ -]?[0-9]{6}",), check=("stdnum:at.vnr",)),
    Row(
        "ES_NIF",
        (r"[0-9]{8}[ -]?[A-Z]", r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}[ -]?[A-Z]"),
        (r"[0-9]{8}-?[A-Z]",),
        ("stdnum:es.dni",),
    ),
    Row("ES_NIE", (r"[XYZ][ -]?[0-9]{7}[ -]?[A-Z]",), (r"[XYZ]-?[0-9]{7}-?[A-Z]",), ("stdnum:es.nie",)),
    Row("ES_PASSPORT", (r"[A-Z]{2,3}[0-9]{6}",), reach=32),
    Row("PT_NIF", (r"(?:PT ?)?[1-35689][0-9]{2} ?[0-9]{3} ?[0-9]{3}",), check=("stdnum:pt.nif",)),
    Row("PT_CITIZEN_CARD", (r"[0-9]{8} ?[0-9] ?[A-Z0-9]{2}[0-9]",), check=("stdnum:pt.cc",), reach=24),
    Row(
        "IT_FISCAL_CODE",
        (r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",),
        (r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",),
        ("presidio:ItFiscalCodeRecognizer", "stdnum:it.codicefiscale"),
    ),
    Row("IT_VAT_CODE", (r"(?:IT ?)?[0-9]{11}",), check=("stdnum:it.iva",)),
    Row("IT_PASSPORT", (r"[A-Z]{2}[0-9]{7}",), check=("presidio:ItPassportRecognizer",)),
    Row(
        "IT_IDENTITY_CARD",
        (r"[A-Z]{2} ?[0-9]{7}", r"[0-9]{7}[A-Z]{2}", r"[A-Z]{2}[0-9]{5}[A-Z]{2}"),
        check=("presidio:ItIdentityCardRecognizer",),
    ),
    Row(
        "IT_DRIVER_LICENSE",
        (r"[A-Z]{2}[0-9]{7}[A-Z]", r"U1[A-Z0-9]{7}[A-Z]"),
        check=("presidio:ItDriverLicenseRecognizer",),
    ),
    Row("GR_AMKA", (r"[0-3][0-9][01][0-9]{8}",), check=("stdnum:gr.amka",)),
    Row("GR_AFM", (r"[0-9]{9}",), check=("stdnum:gr.vat",)),
    Row("EU_VAT", (_EU, r"(?:ATU|[A-Z]{2})[ -]?[0-9A-Z]{2,3}[ .-]?[0-9]{3}[ .-]?[0-9]{3,4}"), check=("stdnum:eu.vat",)),
    # -- the North
    Row("DK_CPR", (r"[0-3][0-9][01][0-9]{3}[ -]?[0-9]{4}",), check=("own:day_first",)),
    Row("SE_PERSONNUMMER", (r"(?:19|20)?[0-9]{2}[01][0-9][0-9]{2}[-+ ]?[0-9]{4}",), check=("own:sweden",)),
    Row(
        "NO_FODSELSNUMMER",
        (r"[0-7][0-9][0-9]{4}[ -]?[0-9]{5}",),
        (r"[0-7][0-9][0-9]{4} ?[0-9]{5}",),
        ("stdnum:no.fodselsnummer",),
    ),
    Row(
        "FI_PERSONAL_IDENTITY_CODE",
        (r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]",),
        (r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]",),
        ("own:finland",),
    ),
    Row("IS_KENNITALA", (r"[0-7][0-9][01][0-9]{3}-?[0-9]{4}",), check=("stdnum:is_.kennitala",)),
    Row("EE_ISIKUKOOD", (r"[1-6][0-9]{10}",), check=("stdnum:ee.ik",)),
    Row("LT_ASMENS_KODAS", (r"[1-9][0-9]{10}",), check=("stdnum:lt.asmens",)),
    Row("LV_PERSONAS_KODS", (r"[0-3][0-9]{5}-?[0-9]{5}",), check=("own:latvia",)),
    # -- Central and Eastern Europe
    Row("PL_PESEL", (r"[0-9]{11}",), check=("stdnum:pl.pesel",)),
    Row(
        "PL_NIP",
        (r"(?:PL ?)?[0-9]{10}", r"[0-9]{3}-[0-9]{3}-[0-9]{2}-[0-9]{2}", r"[0-9]{3}-[0-9]{2}-[0-9]{2}-[0-9]{3}"),
        check=("stdnum:pl.nip",),
    ),
    Row("CZ_RODNE_CISLO", (r"[0-9]{6}/?[0-9]{3,4}",), (r"[0-9]{2}[0-8][0-9][0-3][0-9]/[0-9]{4}",), ("stdnum:cz.rc",)),
    Row("RO_CNP", (r"[1-9][0-9]{12}",), check=("stdnum:ro.cnp",)),
    Row("BG_EGN", (r"[0-9]{10}",), check=("stdnum:bg.egn", "stdnum:bg.pnf")),
    Row("HR_OIB", (r"[0-9]{11}",), check=("stdnum:hr.oib",)),
    Row("SI_EMSO", (r"[0-3][0-9]{12}",), check=("stdnum:si.emso",)),
    Row("UA_RNOKPP", (r"[0-9]{10}",), check=("stdnum:ua.rntrc",)),
    Row("RU_INN", (r"[0-9]{12}", r"[0-9]{10}"), check=("stdnum:ru.inn",)),
    Row(
        "RU_SNILS",
        (r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{2}",),
        (r"[0-9]{3}-[0-9]{3}-[0-9]{3}[ -][0-9]{2}",),
        ("own:snils",),
    ),
    Row("RU_PASSPORT", (r"[0-9]{2} ?[0-9]{2} (?:№ ?)?[0-9]{6}", r"[0-9]{10}"), reach=32),
    Row("TR_NATIONAL_ID", (r"[1-9][0-9]{10}",), check=("stdnum:tr.tckimlik",)),
    # -- Asia and the Pacific
    Row(
        "CN_RIC",
        (r"[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9X]",),
        (rf"[1-9][0-9]{{5}}(?:19|20)[0-9]{{2}}{_MONTH_DAY}[0-9]{{3}}[0-9X]",),
        ("own:china",),
    ),
    Row("HK_ID_CARD", (r"[A-Z]{1,2}[0-9]{6}\(?[0-9A]\)?",), (r"[A-Z]{1,2}[0-9]{6}\([0-9A]\)",), ("own:hong_kong",)),
    Row("TW_NATIONAL_ID", (r"[A-Z][1289][0-9]{8}",), check=("own:taiwan",)),
    Row("JP_MY_NUMBER", (r"[0-9]{4}([ -]?)[0-9]{4}\1[0-9]{4}",), check=("stdnum:jp.in_",)),
    Row(
        "KR_RRN",
        (rf"[0-9]{{2}}{_MONTH_DAY}-?[1-4][0-9]{{6}}",),
        (rf"[0-9]{{2}}{_MONTH_DAY}-[1-4][0-9]{{6}}",),
        ("own:korea",),
    ),
    Row("KR_FRN", (rf"[0-9]{{2}}{_MONTH_DAY}-?[5-8][0-9]{{6}}",), (rf"[0-9]{{2}}{_MONTH_DAY}-[5-8][0-9]{{6}}",)),
    Row("KR_BRN", (r"[0-9]{3}-?[0-9]{2}-?[0-9]{5}",), check=("presidio:KrBrnRecognizer", "stdnum:kr.brn")),
    Row("KR_PASSPORT", (r"[MSROD][0-9]{3}[A-Z][0-9]{4}", r"[MSROD][0-9]{8}"), reach=32),
    Row("KR_DRIVER_LICENSE", (r"(?:1[1-9]|2[0-68])[ -]?[0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{2}",), reach=32),
    Row(
        "IN_PAN",
        (r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]",),
        (r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]",),
        ("presidio:InPanRecognizer",),
    ),
    Row(
        "IN_AADHAAR",
        (r"[2-9][0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}",),
        check=("presidio:InAadhaarRecognizer", "stdnum:in_.aadhaar"),
    ),
    Row(
        "IN_GSTIN",
        (r"[0-3][0-9][A-Z]{5}[0-9]{4}[A-Z][0-9A-Z]Z[0-9A-Z]",),
        (r"[0-3][0-9][A-Z]{5}[0-9]{4}[A-Z][0-9A-Z]Z[0-9A-Z]",),
        ("stdnum:in_.gstin",),
    ),
    Row(
        "IN_VEHICLE_REGISTRATION",
        (r"[A-Z]{2}[ -]?[0-9]{1,2}[ -]?[A-Z]{1,3}[ -]?[0-9]{4}", r"[2-9][0-9]BH[0-9]{4}[A-Z]{1,2}"),
        check=("own:capitals",),
        reach=32,
    ),
    Row("IN_VOTER", (r"[A-Z]{3}[0-9]{7}",)),
    Row("IN_PASSPORT", (r"[A-Z][1-9][0-9] ?[0-9]{4}[1-9]",), reach=32),
    Row("PK_CNIC", (r"[1-7][0-9]{4}-?[0-9]{7}-?[0-9]",), (r"[1-7][0-9]{4}-[0-9]{7}-[0-9]",), ("stdnum:pk.cnic",)),
    Row("SG_NRIC_FIN", (r"[STFGM][0-9]{7}[A-Z]",), (r"[STFGM][0-9]{7}[A-Z]",), ("own:singapore",)),
    Row("SG_UEN", (r"[0-9]{8,9}[A-Z]", r"[RST][0-9]{2}[A-Z]{2}[0-9]{4}[A-Z]"), check=("stdnum:sg.uen",)),
    Row(
        "MY_NRIC",
        (rf"[0-9]{{2}}{_MONTH_DAY}-?[0-9]{{2}}-?[0-9]{{4}}",),
        (rf"[0-9]{{2}}{_MONTH_DAY}-[0-9]{{2}}-[0-9]{{4}}",),
        ("stdnum:my.nric",),
    ),
    Row("ID_NIK", (r"[1-9][0-9]{15}",), check=("stdnum:id.nik",)),
    Row(
        "TH_TNIN",
        (r"[1-9][ -]?[0-9]{4}[ -]?[0-9]{5}[ -]?[0-9]{2}[ -]?[0-9]",),
        (r"[1-9]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]",),
        ("stdnum:th.pin",),
    ),
    Row("VN_CCCD", (r"[0-9]{12}", r"[0-9]{9}"), reach=32),
    Row("PH_TIN", (r"[0-9]{3}-[0-9]{3}-[0-9]{3}(?:-[0-9]{3,5})?",), reach=32),
    Row(
        "AU_ABN",
        (r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",),
        (r"[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}",),
        ("presidio:AuAbnRecognizer", "stdnum:au.abn"),
    ),
    Row("AU_ACN", (r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}",), check=("stdnum:au.acn",)),
    Row("AU_TFN", (r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}",), check=("stdnum:au.tfn",)),
    Row("AU_MEDICARE", (r"[2-6][0-9]{3}[ -]?[0-9]{5}[ -]?[0-9](?:[ /-]?[0-9])?",), check=("own:medicare_au",)),
    Row("NZ_IRD", (r"[0-9]{2,3}[ -]?[0-9]{3}[ -]?[0-9]{3}",), check=("stdnum:nz.ird",)),
    # -- Africa and the Middle East
    Row("ZA_ID_NUMBER", (r"[0-9]{6} ?[0-9]{4} ?[0-9]{3}",), check=("stdnum:za.idnr",)),
    Row("NG_NIN", (r"[0-9]{11}",), reach=32),
    Row("NG_VEHICLE_REGISTRATION", (r"[A-Z]{3}[- ]?[0-9]{3}[A-Z]{2}",), check=("own:capitals",), reach=32),
    Row("IL_ID_NUMBER", (r"[0-9]{8,9}", r"[0-9]{7,8}-[0-9]"), check=("stdnum:il.idnr",)),
    Row("EG_NATIONAL_ID", (rf"[23][0-9]{{2}}{_MONTH_DAY}(?:0[1-4]|[1-3][0-9]|88)[0-9]{{5}}",)),
    Row(
        "PASSPORT",
        (
            r"[A-Z]{1,3}[0-9]{6,8}",
            r"[0-9]{2}[A-Z]{2}[0-9]{5}",
            r"[0-9]{9}",
            r"[A-Z]{2}[0-9A-Z]{6}[0-9]",
            rf"[CFGHJK]{_GERMAN}{{8}}",
        ),
        check=("own:digits4",),
        reach=32,
    ),
)
"""US_SSN is judged beside cards and phones, in `numbers`. Where two rows claim the same place, the checked one wins, then the
nearer word, then the earlier row."""

BY_ENTITY: Final = {row.entity: row for row in ROWS}
