"""Personal data is found by its check digits or by what announces it; other numbers are left alone."""

from __future__ import annotations

import pytest

from services.gateway.detectors.personal_data import PersonalDataDetector

DETECTOR = PersonalDataDetector()

FOUND = [
    ("email_address", "Write to {}.", "ada.lovelace+x@mail.example.com"),
    ("email_address", "write to {} please", "ada (at) example (dot) com"),
    ("email_address", "<mailto:{}>", "jürgen@bücher.example"),
    ("phone_number", "Call me at {} tomorrow", "+1 202-555-0143"),
    ("phone_number", "tel. {}", "030 901820"),
    ("phone_number", "{} is mine", "(212) 555-0187"),
    ("phone_number", "WhatsApp {}", "+44 20 7946 0958"),
    ("phone_number", "mobile: {}", "07700 900123"),
    ("payment_card", "my card {} expired", "4111 1111 1111 1111"),
    ("payment_card", "card {}", "5555-5555-5555-4444"),
    ("payment_card", "amex {}.", "378282246310005"),
    ("iban", "to {} please", "DE89 3704 0044 0532 0130 00"),
    ("iban", "IBAN {}", "GB33BUKB20201555555555"),
    ("us_social_security_number", "his SSN is {}", "536-90-4399"),
    ("us_social_security_number", "ssn {}", "536904399"),
    ("gb_national_insurance_number", "NI {}", "AB 12 34 56 C"),
    ("gb_nhs_number", "NHS number {}", "943 476 5919"),
    ("de_tax_id", "Steuer-ID {}", "86095742719"),
    ("fr_social_security_number", "NIR {}", "1 84 12 76 451 089 46"),
    ("es_national_id", "DNI {}", "12345678Z"),
    ("es_national_id", "NIE {}", "X1234567L"),
    ("it_tax_code", "codice {}", "RSSMRA85T10A562S"),
    ("nl_citizen_number", "BSN: {}", "111222333"),
    ("pl_national_id", "PESEL {}", "44051401359"),
    ("br_taxpayer_number", "CPF {}", "390.533.447-05"),
    ("ch_social_security_number", "AHV {}", "756.9217.0769.85"),
    ("ca_social_insurance_number", "SIN {}", "123 456 782"),
    ("in_aadhaar", "Aadhaar {}", "2341 2341 2346"),
    ("fi_personal_code", "HETU {}", "131052-308T"),
    ("ip_address", "from {} at night", "203.0.113.24"),
    ("ip_address", "via {} today", "2001:db8::8a2e:370:7334"),
    ("date_of_birth", "born on {}", "12 March 1985"),
    ("date_of_birth", "Geburtsdatum: {}", "12.03.1985"),
    ("date_of_birth", "DOB {}", "1985-03-12"),
    ("passport_number", "Passport no: {}", "X1234567"),
    ("drivers_licence", "driving licence number {}", "MORGA753116SM9IJ"),
    ("person_name", "My name is {} and I work here", "Ada Lovelace"),
    ("person_name", "Ich heiße {}.", "Jürgen Müller"),
    ("person_name", "Reported by {}, yesterday", "Maria Keller"),
    ("person_name", "Please ask Dr {} about it", "Okafor"),
    ("postal_address", "I live at {}", "12 Market Street, Springfield, IL 62704"),
    ("postal_address", "Adresse: {}", "Hauptstraße 12, 10115 Berlin"),
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_personal_data_is_found_whole(kind: str, text: str, value: str) -> None:
    written = text.format(value)
    start = written.index(value)

    covering = [f for f in DETECTOR.find(written) if f.start <= start and f.end >= start + len(value)]

    assert [finding.kind for finding in covering] == [kind]


def test_cards_are_found_side_by_side_and_inside_a_run_of_digits() -> None:
    one, other = "4111 1111 1111 1111", "5555 5555 5555 4444"
    for text in (f"{one} {other}", f"{one}, {other}", f"order 12 {one} of 2026 and {other}", f"{one}{other}"):
        found = [text[finding.start : finding.end] for finding in DETECTOR.find(text)]
        assert "".join(found).count(one) == 1, text
        assert "".join(found).count(other) == 1, text


def test_personal_data_is_found_in_other_digits_and_forms() -> None:
    for value in ("４１１１ １１１１ １１１１ １１１１", "４１１１-1111-1111-1111", "٤١١١ ١١١١ ١١١١ ١١١١"):
        assert [finding.kind for finding in DETECTOR.find(f"card {value}!")] == ["payment_card"]


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("payment_card", "4111 1111 1111 1112"),
        ("iban", "DE89 3704 0044 0532 0130 01"),
        ("us_social_security_number", "000-12-3456"),
        ("fr_social_security_number", "1 84 12 76 451 089 47"),
        ("es_national_id", "12345678A"),
        ("it_tax_code", "RSSMRA85T10A562A"),
    ],
)
def test_a_number_with_a_wrong_check_digit_is_not_one(kind: str, broken: str) -> None:
    assert kind not in {finding.kind for finding in DETECTOR.find(f"It is {broken} here")}


@pytest.mark.parametrize(
    "text",
    [
        "Every employee has 25 days of paid leave.",
        "The meeting is on 2026-08-04 from 10:30:00 to 11:15:00.",
        "Order 20260804-113 has 12 pieces at 1,234.50 EUR.",
        "Invoice 100200300 of 04.08.2026 is paid.",
        "Version 1.2.3.4 runs on 127.0.0.1:8080 and 0.0.0.0.",
        "Section 4.2.1 on page 12 of 345.",
        "Commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "550e8400-e29b-41d4-a716-446655440000",
        "Call extension 4512 by 2026-09-30.",
        "The population is 83 200 000 people.",
        "Dear team, dear colleagues, Dear Customer,",
        "Hello World! Hi there, the product name is Widget.",
        "We sold 4500 units at 9 to 5 places in 2025 and 2026.",
        "Ratio 16:9, scale 1:250, time 12:30.",
        "Version 4.0...3.4.1) (2024-12-24) and build 309177/23260351",
        "Name: Flask",
        "[email_address_1] and [person_name_2] wrote it",
        "Pass the salt; the password policy is on page 3.",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert DETECTOR.find(text) == ()
