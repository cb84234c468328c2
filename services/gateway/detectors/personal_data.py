"""Finds personal data: by check digits and numbering plans where they exist, else by what stands beside it.

Strong: e-mail addresses, payment cards (Luhn and issuer range), IBANs, national identifiers with check
digits, international telephone numbers, IP addresses. Weak: names and postal addresses are seen only where
the text announces them ("My name is …", "12 Market Street"), dates of birth and passport numbers only beside
a word that says so; a bare name in a sentence is not found. A nine-digit number with a one-digit check is
taken for an identifier only beside a word that says so, or every eleventh order number would be one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence

import phonenumbers
from stdnum import iban, luhn
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.se import personnummer
from stdnum.us import ssn
from stdnum.za import idnr as za_id

from services.gateway.detectors.patterns import Pattern, PatternTable, compiled, find_in_views, occurs
from services.gateway.detectors.reading import Look
from services.gateway.detectors.text_views import View
from services.gateway.exchange import Finding


class PersonalDataDetector:
    """Finds personal data in every reading of a text."""

    def find(self, text: str) -> tuple[Finding, ...]:
        return find_in_views(text, _find)


def _find(look: Look) -> Sequence[Finding]:
    told = _WORDS.find(look)
    if not look.digits:
        return told
    return [*told, *_WORDS_AND_DIGITS.find(look), *_in_numbers(look.view)]


def _in_numbers(view: View) -> list[Finding]:
    if not occurs(_ANY_NUMBER, view.text):
        return []
    return [*_cards(view), *_numbers(view), *_lettered_numbers(view)]


# --- announced by words ----------------------------------------------------------------------------

# Letters are written as ASCII: the folded view has no others for the Latin alphabet.
_NAME = (
    r"([A-Z][A-Za-z'-]+(?:[ -](?:(?:van|von|de|der|den|da|di|la|le|bin|al|del|dos) ){0,2}"
    r"(?:[A-Z]\.|[A-Z][A-Za-z'-]*)){0,3})"
)
_DATE = (
    r"([0-9]{1,2}[./ -][0-9]{1,2}[./ -][0-9]{2,4}|[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2}"
    r"|[0-9]{1,2}(?:st|nd|rd|th|\.)? (?:of )?[A-Za-z]{3,10},? [0-9]{4}"
    r"|[A-Za-z]{3,10} [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4})"
)
_BORN = (
    r"(?i:date of birth|birth ?date|birthday|d\.?o\.?b\.?|born(?: on)?|geboren(?: am)?|geburtsdatum|n[eé]e? le"
    r"|date de naissance|nacid[oa] el|fecha de nacimiento|nat[oa] il|data di nascita|geboortedatum|data de nascimento)"
)
_STREET = (
    r"[0-9]{1,5}[A-Za-z]?,? (?:[A-Z][A-Za-z'.-]+ ){1,3}(?:Street|St\.?|Road|Rd\.?|Avenue|Ave\.?|Lane|Ln\.?|Drive|Dr\.?"
    r"|Boulevard|Blvd\.?|Court|Ct\.?|Way|Terrace|Place|Pl\.?|Square|Sq\.?|Crescent|Close|Highway|Parkway)\b"
    r"(?:,? (?:Apt|Apartment|Unit|Suite|Flat|#)\.? ?[0-9A-Za-z-]{1,6})?"
    r"(?:, [A-Z][A-Za-z'.-]+(?: [A-Z][a-z'.-]+){0,2}){0,2}(?:,? [A-Z]{2})?"
    r"(?:,? (?:[0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}))?"
)
_STREET_BEFORE_NUMBER = (
    r"[A-Z][A-Za-z-]{2,30}(?:stra[sß]{1,2}e|str\.|weg|platz|allee|gasse|straat|laan|plein) [0-9]{1,4}[a-z]?\b"
    r"(?:,? [0-9]{4,5} ?[A-Z]{0,2} [A-Z][A-Za-z-]+)?"
)
_ROAD_FIRST = (
    r"(?:[0-9]{1,4}(?: bis| ter)?,? )?(?i:rue|avenue|boulevard|calle|avenida|plaza|via|piazza|rua) "
    r"(?:(?i:de|du|des|de la|del|di|da|dos) )?[A-Z][A-Za-z'-]+(?: [A-Z][A-Za-z'-]+)?,? [0-9]{1,5}"
)
_MAIL = (
    r"[\p{L}0-9._%+'-]+@[\p{L}0-9-]+(?:\.[\p{L}0-9-]+)+"  # person@example.com
    r"|[\p{L}0-9._%+'-]+@\[[0-9.]{7,15}\]"
)
_MAIL_SPELT = (
    r"(?i)[a-z0-9._%+'-]+\s?(?:\(at\)|\[at\]|\{at\}| at )\s?[a-z0-9-]+"
    r"\s?(?:\(dot\)|\[dot\]|\{dot\}| dot )\s?[a-z]{2,24}"
)
_NAMED = (
    r"(?i:\b(?:(?:my|his|her|their|full|legal|contact|holder'?s?) name(?:\s?:| is| was)|i am called"
    r"|ich hei(?:ß|ss)e|mein name ist|je m'appelle|me llamo|mi nombre es|mi chiamo|meu nome [eé]|mijn naam is)\s{1,3})"
)
_TITLED = r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Herrn|Monsieur|Madame|Sra?|Sig|Signora|Dhr|Mevr)\.? "
_GREETED = r"(?:Dear|Hi|Hello|Liebe|Lieber|Cher|Ch[eè]re|Estimad[oa]|Querid[oa]|Caro|Cara|Beste) "
_REPORTED = (
    r"(?i:\b(?:reported|submitted|raised|opened|signed) by|\b(?:customer|patient|applicant|tenant|name)\s?:)\s{1,3}"
)
_PASSPORT = (
    r"(?i:passport|pass|reisepass|passeport|pasaporte|passaporto|paspoort|passaporte)"
    r"(?i:\s?(?:number|num|no|nummer|nr|num[eé]ro|n[uú]mero|#)?\.?)\s{0,2}(?:[:#=]|is|ist|est|es)?\s{0,2}"
    r"([A-Z]{1,2}[0-9]{6,8}|[0-9]{9}|[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8})\b"
)
_LICENCE = (
    r"(?i:driv(?:er'?s?|ing) licen[cs]e|f[uü]hrerschein(?:nummer)?|permis de conduire)"
    r"(?i:\s?(?:number|no|nr|#)?\.?)\s{0,2}(?:[:#=]|is)?\s{0,2}([A-Z0-9]{6,20})\b"
)
_DIGITS = "0123456789"


def _is_ip_address(value: str) -> bool:
    """An address that can stand for a person: not loopback, unspecified, a netmask or a version number."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    first = int(value.split(".", 1)[0]) if address.version == 4 else 256
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or first == 255 or first < 4)


def _is_name(value: str) -> bool:
    return value.split()[0] not in _NOT_NAMES


def _has_digits(value: str) -> bool:
    return sum(char.isdigit() for char in value) >= 5


def _is_full_name(value: str) -> bool:
    return _is_name(value) and len(value.split()) >= 2


_NOT_NAMES = frozenset(
    ("All", "Team", "Sir", "Sirs", "Madam", "Colleague", "Colleagues", "Customer", "Customers", "Friends", "Everyone",
     "Hiring", "Support", "Manager", "Human", "The", "This", "That", "Your", "Our", "Please", "Thank", "Thanks", "And",
     "But", "Not", "Now", "It", "If", "In", "On", "At", "To", "Is", "Employee", "Employees",
     "World", "There")
)  # fmt: skip
_WORDS = PatternTable(
    (
        Pattern("email_address", _MAIL, ("@",)),
        Pattern("email_address", _MAIL_SPELT, ("(dot)", "[dot]", "{dot}", " dot ")),
        Pattern(
            "person_name",
            _NAMED + _NAME,
            ("name", "called", "heiße", "heisse", "appelle", "llamo", "nombre", "chiamo", "nome", "naam"),
            score=0.7,
            accept=_is_name,
        ),
        Pattern(
            "person_name",
            _TITLED + _NAME,
            ("mr", "ms", "miss", "mx", "dr", "prof", "herr", "frau", "monsieur", "madame", "sr", "sig", "dhr", "mevr"),
            score=0.7,
            accept=_is_name,
        ),
        Pattern(
            "person_name",
            f"{_GREETED}{_NAME}[,:!\n]",
            ("dear ", "hi ", "hello ", "liebe", "cher", "estimad", "querid", "caro ", "cara ", "beste "),
            score=0.6,
            accept=_is_name,
        ),
        Pattern(
            "person_name",
            _REPORTED + _NAME,
            ("reported by", "submitted by", "raised by", "opened by", "signed by", "customer", "patient", "applicant",
             "tenant", "name"),
            score=0.6,
            accept=_is_full_name,
        ),
    )
)  # fmt: skip
_WORDS_AND_DIGITS = PatternTable(
    (
        Pattern(
            "ip_address",
            r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b",
            tuple(f".{digit}" for digit in _DIGITS),
            accept=_is_ip_address,
        ),
        Pattern(
            "ip_address",
            r"(?i)(?:^|[^0-9a-z:])((?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?:[^0-9a-z:]|$)",
            ("::", *(f":{digit}" for digit in "0123456789abcdef")),
            accept=_is_ip_address,
        ),
        Pattern(
            "date_of_birth",
            rf"{_BORN}\s{{0,3}}[:=(]?\s{{0,3}}{_DATE}",
            ("birth", "dob", "d.o.b", "born", "gebor", "geburt", "ne le", "nee le", "naissance", "nacid",
             "nacimiento", "nato il", "nata il", "nascita", "geboorte", "nascimento"),
        ),
        Pattern("passport_number", _PASSPORT, ("pass", "pasaporte", "paspoort")),
        Pattern("drivers_licence", _LICENCE, ("driv", "fuhrerschein", "führerschein", "permis"), 0.8, _has_digits),
        Pattern(
            "postal_address",
            _STREET,
            (" st", " rd", " road", " av", " lane", " ln", " dr", " boulevard", " blvd", " court", " ct", " crescent",
             " close", " way", " terrace", " pl", " sq", " highway", " parkway"),
            score=0.7,
        ),
        Pattern(
            "postal_address",
            _STREET_BEFORE_NUMBER,
            ("stra", "str.", "weg", "platz", "allee", "gasse", "laan", "plein"),
            score=0.7,
        ),
        Pattern(
            "postal_address",
            _ROAD_FIRST,
            ("rue ", "avenue ", "boulevard ", "calle ", "avenida ", "plaza ", "via ", "piazza ", "rua "),
            score=0.6,
        ),
    )
)  # fmt: skip

# --- numbers ---------------------------------------------------------------------------------------

_NUMBER = compiled(r"(?:\+|\(\+?)?[0-9](?:[ \t./()\x{2D}]{0,3}[0-9]){5,22}")
_WORDS_BEFORE_CHARS = 40

Check = Callable[[str], bool]


def _digits_of(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _numbers(view: View) -> Iterator[Finding]:
    for match in _NUMBER.finditer(view.text):
        start, end = match.span()
        written = match.group()
        before = view.text[max(0, start - _WORDS_BEFORE_CHARS) : start].lower()
        kind = _kind_of_number(written, _digits_of(written), before)
        if kind:
            yield Finding(kind, *view.locate(start, end))


def _kind_of_number(written: str, digits: str, before: str) -> str:
    for kind, words, check in _NATIONAL_IDS:
        if (not words or any(word in before for word in words)) and check(written):
            return kind
    return "phone_number" if _is_phone_number(written, digits, before) else ""


_CARD_RUN = compiled(r"[0-9](?:[ .-]?[0-9]){12,}")
_CARD_LENGTHS = (19, 18, 17, 16, 15, 14, 13)
_GLUED_DIGITS_MAX = 23  # in longer runs a card number begins where a group of digits does


def _cards(view: View) -> Iterator[Finding]:
    """Card numbers, also several in one run of digits, or in the middle of one as in `order 12 4111 1111 …`."""
    for match in _CARD_RUN.finditer(view.text):
        written, offset = match.group(), match.start()
        places = [index for index, char in enumerate(written) if char.isdigit()]
        digits = _digits_of(written)
        at = after = 0
        while at <= len(digits) - _CARD_LENGTHS[-1]:
            length = _card_length(digits[at : at + _CARD_LENGTHS[0]]) if at == after or _may_begin(places, at) else 0
            if length:
                after = at + length
                span = view.locate(offset + places[at], offset + places[at + length - 1] + 1)
                yield Finding("payment_card", *span)
            at += length or 1


def _may_begin(places: Sequence[int], at: int) -> bool:
    return len(places) <= _GLUED_DIGITS_MAX or places[at] > places[at - 1] + 1


def _card_length(digits: str) -> int:
    """How many of the first digits make a card number; 0 when none do."""
    return next((length for length in _CARD_LENGTHS if _is_payment_card(digits[:length], length)), 0)


_CARD_RANGES = (  # first digits, lengths
    ("4", (13, 16, 19)), ("51", (16,)), ("52", (16,)), ("53", (16,)), ("54", (16,)), ("55", (16,)),
    ("22", (16,)), ("23", (16,)), ("24", (16,)), ("25", (16,)), ("26", (16,)), ("27", (16,)),
    ("34", (15,)), ("37", (15,)), ("30", (14, 16)), ("36", (14, 16)), ("38", (14, 16)), ("39", (14, 16)),
    ("6011", (16, 19)), ("64", (16, 19)), ("65", (16, 19)), ("35", (16,)), ("62", (16, 17, 18, 19)),
    ("50", (16,)), ("56", (16,)), ("57", (16,)), ("58", (16,)), ("67", (16, 18, 19)), ("60", (16,)), ("81", (16,)),
)  # fmt: skip


def _is_payment_card(digits: str, length: int) -> bool:
    plausible = any(digits.startswith(first) and length in lengths for first, lengths in _CARD_RANGES)
    return plausible and len(digits) == length and luhn.is_valid(digits) and len(set(digits)) > 1


def _is_grouped_ssn(written: str) -> bool:
    """Nine digits written 3-2-4, as in the United States: that shape alone is telling."""
    parts = written.replace(" ", "-").split("-")
    return [len(part) for part in parts] == [3, 2, 4] and bool(ssn.is_valid("-".join(parts)))


def _plain_ssn(written: str) -> bool:
    digits = _digits_of(written)
    return len(digits) == 9 and bool(ssn.is_valid(digits))


_ID_WORDS = ("tax", "steuer", "id", "ssn", "social", "insurance", "sozial", "national", "citizen", "personal", "identi")
# Kind, words of which one must stand before the number (none: the shape and check digits suffice), check.
_NATIONAL_IDS: tuple[tuple[str, tuple[str, ...], Check], ...] = (
    ("us_social_security_number", (), _is_grouped_ssn),
    ("us_social_security_number", ("ssn", "social security", "social sec"), _plain_ssn),
    ("fr_social_security_number", (), nir.is_valid),
    ("ch_social_security_number", (), lambda written: _digits_of(written).startswith("756") and ahv.is_valid(written)),
    ("cn_resident_identity_number", (), ric.is_valid),
    ("de_tax_id", ("steuer", "tax", "idnr", "id-nr", "tin"), idnr.is_valid),
    ("gb_nhs_number", ("nhs", "health"), nhs.is_valid),
    ("nl_citizen_number", ("bsn", "burgerservice", "sofi", "citizen"), bsn.is_valid),
    ("be_national_number", ("rijksregister", "registre", "national", "niss", "insz", "belgi"), nn.is_valid),
    ("pl_national_id", ("pesel",), pesel.is_valid),
    ("pt_tax_number", ("nif", "contribuinte", "fiscal"), nif.is_valid),
    ("se_personal_number", ("personnummer", "personal", "swed"), personnummer.is_valid),
    ("no_national_id", ("fødselsnummer", "fodselsnummer", "personnummer", "norw", "national"), fodselsnummer.is_valid),
    ("dk_personal_number", ("cpr", "personnummer", "danish"), cpr.is_valid),
    ("br_taxpayer_number", ("cpf", "cadastro"), cpf.is_valid),
    ("ca_social_insurance_number", ("sin", "social insurance", "nas"), sin.is_valid),
    ("au_tax_file_number", ("tfn", "tax file"), tfn.is_valid),
    ("in_aadhaar", ("aadhaar", "aadhar", "uidai"), aadhaar.is_valid),
    ("kr_resident_number", ("resident", "korea", "주민"), rrn.is_valid),
    ("za_identity_number", ("id number", "identity", "south africa", "rsa id"), za_id.is_valid),
)

_PHONE_WORDS = (
    "phone", "tel", "call", "mobile", "cell", "fax", "ring", "dial", "whatsapp", "sms", "text me", "reach", "contact",
    "handy", "móvil", "movil", "numéro", "numero", "mobil", "rufnummer", "portable", "hotline",
)  # fmt: skip
_PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "AU", "BR", "CH", "PL", "SE")
_GROUPED_PHONE = compiled(
    r"\(?[2-9][0-9]{2}\)?[ .-]{1,2}[2-9][0-9]{2}[ .-][0-9]{4}|\(?0[1-9][0-9]{1,4}\)?[ /-][0-9 -]{5,10}"
)
_DATE_LIKE = compiled(
    r"(?:19|20)[0-9]{2}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}.{0,12}"
    r"|[0-9]{1,2}[-./][0-9]{1,2}[-./](?:19|20)?[0-9]{2}.{0,8}"
)


def _is_phone_number(written: str, digits: str, before: str) -> bool:
    if not 7 <= len(digits) <= 15:
        return False
    if written.lstrip("(").startswith("+") or written.startswith("00"):
        return _parses("+" + digits.removeprefix("00"), None)
    told = any(word in before for word in _PHONE_WORDS)
    if _DATE_LIKE.fullmatch(written) or not (told or _GROUPED_PHONE.fullmatch(written)):
        return False
    return any(_parses(written, region) for region in _PHONE_REGIONS)


def _parses(written: str, region: str | None) -> bool:
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return False
    # An international number is told by its plus sign; a national one must exist in its numbering plan.
    return phonenumbers.is_possible_number(number) if region is None else phonenumbers.is_valid_number(number)


# --- numbers with letters --------------------------------------------------------------------------


def _is_nino(value: str) -> bool:
    """United Kingdom national insurance number: no check digit, but prefixes that were never given out."""
    prefix = value.upper()[:2]
    barred = prefix in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ") or prefix[1] == "O"
    return not barred and not any(char in "DFIQUV" for char in prefix)


def _is_dni(value: str) -> bool:
    return bool(dni.is_valid(value) or nie.is_valid(value))


_LETTERED: tuple[tuple[str, str, Check], ...] = (
    ("iban", r"\b[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,4})?", iban.is_valid),
    ("gb_national_insurance_number", r"\b[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]\b", _is_nino),
    ("es_national_id", r"\b[0-9XYZxyz][0-9]{7}[ -]?[A-Za-z]\b", _is_dni),
    ("it_tax_code", r"(?i)\b[A-Z]{6}[0-9L-V]{2}[A-Z][0-9L-V]{2}[A-Z][0-9L-V]{3}[A-Z]\b", codicefiscale.is_valid),
    ("fr_social_security_number", r"\b[12](?: ?[0-9]{2}){2} ?2[AB](?: ?[0-9]{3}){2} ?[0-9]{2}\b", nir.is_valid),
    ("fi_personal_code", r"\b[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]\b", hetu.is_valid),
    ("mx_population_code", r"\b[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]\b", curp.is_valid),
    ("in_permanent_account_number", r"\b[A-Z]{3}[ABCFGHLJPTK][A-Z][0-9]{4}[A-Z]\b", pan.is_valid),
    ("cn_resident_identity_number", r"\b[0-9]{17}[Xx]\b", ric.is_valid),
)  # fmt: skip


_LETTERED_RE = tuple((kind, compiled(expression), check) for kind, expression, check in _LETTERED)


_SIX_DIGITS = r"[0-9](?:[ \t./()\x{2D}]{0,3}[0-9]){5}"  # no card and no number has fewer
_ANY_NUMBER = compiled("|".join((_SIX_DIGITS, *(f"(?:{expression})" for _, expression, _ in _LETTERED))))
_ANY_LETTERED = compiled("|".join(f"(?:{expression})" for _, expression, _ in _LETTERED))


def _lettered_numbers(view: View) -> Iterator[Finding]:
    if not occurs(_ANY_LETTERED, view.text):
        return
    for kind, expression, check in _LETTERED_RE:
        for match in expression.finditer(view.text):
            end = _valid_end(match.group(), check)
            if end:
                yield Finding(kind, *view.locate(match.start(), match.start() + end))


def _valid_end(written: str, check: Check) -> int:
    """Length of the longest valid beginning: the next word may look like one more group of an IBAN."""
    shortest = max(8, len(written) - 24)
    return next((end for end in range(len(written), shortest - 1, -1) if check(written[:end])), 0)
