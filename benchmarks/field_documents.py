"""Made documents with known fields, for fields.py: invoices, letters and report headers.

Each is written in one of four languages and of four layouts: lines of labels, a table, two columns,
and prose. A fifth of the fields is absent. The same seed gives the same documents.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from long_pdf import write_pdf

Value = str | float | int | bool | None

LANGUAGES = ("en", "de", "fr", "es")
LAYOUTS = ("labels", "table", "columns", "prose")
KINDS = ("invoice", "letter", "report")
ABSENT = 0.2

_FIRST = ("Anna Bruno Clara David Elena Felix Greta Hugo Irene Jonas Karin Leon Marta Nils").split()  # noqa: SIM905
_LAST = ("Becker Costa Dubois Ekman Fischer Garcia Hansen Ivanov Keller Lopez Martin Novak").split()  # noqa: SIM905
_FIRMS = (
    "Northwind Traders", "Alpine Tools", "Bluefin Logistics", "Cedar & Stone", "Delta Optik",
    "Ebert Maschinenbau", "Fontaine Papier", "Grupo Solar", "Harbour Foods", "Iberia Textil",
    "Kranich Druck", "Lumen Systems",
)  # fmt: skip
_FORMS = {"en": ("Ltd", "Inc."), "de": ("GmbH", "AG"), "fr": ("SARL", "SA"), "es": ("S.L.", "S.A.")}
_CITIES = {
    "en": ("Bristol", "Leeds", "Portland"), "de": ("Hamburg", "Köln", "Graz"),
    "fr": ("Lyon", "Nantes", "Genève"), "es": ("Sevilla", "Bilbao", "Valencia"),
}  # fmt: skip
_GOODS = {
    "en": ("office chairs", "printer paper", "repair of a pump", "training day"),
    "de": ("Bürostühle", "Druckerpapier", "Reparatur der Pumpe", "Schulungstag"),
    "fr": ("chaises de bureau", "papier", "réparation de la pompe", "jour de formation"),
    "es": ("sillas de oficina", "papel", "reparación de la bomba", "día de formación"),
}
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
}
_SUBJECTS = {
    "en": ("Your complaint of last week", "Renewal of the lease", "Delay of the delivery"),
    "de": ("Ihre Reklamation", "Verlängerung des Mietvertrags", "Verspätung der Lieferung"),
    "fr": ("Votre réclamation", "Renouvellement du bail", "Retard de la livraison"),
    "es": ("Su reclamación", "Renovación del contrato", "Retraso de la entrega"),
}
_TITLES = {
    "en": ("Noise in Urban Parks", "Water Use of Small Farms", "Safety of Cable Cars"),
    "de": ("Lärm in Stadtparks", "Wasserverbrauch kleiner Höfe", "Sicherheit von Seilbahnen"),
    "fr": ("Le bruit des parcs urbains", "L'eau des petites fermes", "Sûreté des téléphériques"),
    "es": ("El ruido de los parques", "El agua de las granjas", "Seguridad de los teleféricos"),
}
_FILLER = {
    "en": "Please contact us if anything is unclear. All our terms apply as published.",
    "de": "Bitte wenden Sie sich bei Fragen an uns. Es gelten unsere Geschäftsbedingungen.",
    "fr": "N'hésitez pas à nous contacter. Nos conditions générales s'appliquent.",
    "es": "No dude en ponerse en contacto con nosotros. Se aplican nuestras condiciones.",
}
# For each kind: name → type, and for each language the label in documents, and the description.
_FIELDS: dict[str, dict[str, tuple[str, dict[str, tuple[str, str]]]]] = {
    "invoice": {
        "invoice_number": ("string", {
            "en": ("Invoice no.", "number of the invoice"),
            "de": ("Rechnungsnummer", "Nummer der Rechnung"),
            "fr": ("Facture n°", "numéro de la facture"),
            "es": ("Factura n.º", "número de la factura"),
        }),
        "vendor": ("string", {
            "en": ("From", "company that sends the invoice"),
            "de": ("Lieferant", "Firma, die die Rechnung stellt"),
            "fr": ("Fournisseur", "société qui envoie la facture"),
            "es": ("Proveedor", "empresa que emite la factura"),
        }),
        "customer": ("string", {
            "en": ("Bill to", "company that is billed"),
            "de": ("Kunde", "Firma, die bezahlen soll"),
            "fr": ("Client", "société facturée"),
            "es": ("Cliente", "empresa facturada"),
        }),
        "date": ("date", {
            "en": ("Invoice date", "day of issue"),
            "de": ("Rechnungsdatum", "Tag der Ausstellung"),
            "fr": ("Date de facture", "jour d'émission"),
            "es": ("Fecha de factura", "día de emisión"),
        }),
        "due_date": ("date", {
            "en": ("Due date", "day by which it must be paid"),
            "de": ("Zahlbar bis", "Tag, bis zu dem zu zahlen ist"),
            "fr": ("Échéance", "date limite de paiement"),
            "es": ("Vencimiento", "fecha límite de pago"),
        }),
        "tax": ("number", {
            "en": ("VAT 20%", "amount of the tax"),
            "de": ("MwSt. 19%", "Betrag der Steuer"),
            "fr": ("TVA 20%", "montant de la taxe"),
            "es": ("IVA 21%", "importe del impuesto"),
        }),
        "total": ("number", {
            "en": ("Total due", "amount to pay, tax included"),
            "de": ("Gesamtbetrag", "zu zahlender Betrag mit Steuer"),
            "fr": ("Total à payer", "montant à payer, taxes comprises"),
            "es": ("Total a pagar", "importe total con impuestos"),
        }),
        "order_number": ("string", {
            "en": ("Your order", "number of the customer's order"),
            "de": ("Ihre Bestellung", "Nummer der Bestellung"),
            "fr": ("Votre commande", "numéro de la commande"),
            "es": ("Su pedido", "número del pedido"),
        }),
        "quantity": ("integer", {
            "en": ("Quantity", "number of items"),
            "de": ("Menge", "Zahl der Artikel"),
            "fr": ("Quantité", "nombre d'articles"),
            "es": ("Cantidad", "número de artículos"),
        }),
    },
    "letter": {
        "sender": ("string", {
            "en": ("From", "person who writes the letter"),
            "de": ("Absender", "Person, die den Brief schreibt"),
            "fr": ("Expéditeur", "personne qui écrit la lettre"),
            "es": ("Remitente", "persona que escribe la carta"),
        }),
        "recipient": ("string", {
            "en": ("To", "person to whom the letter is addressed"),
            "de": ("Empfänger", "Person, an die der Brief geht"),
            "fr": ("Destinataire", "personne à qui la lettre est adressée"),
            "es": ("Destinatario", "persona a la que se dirige la carta"),
        }),
        "place": ("string", {
            "en": ("Place", "city in which it was written"),
            "de": ("Ort", "Ort, an dem er geschrieben wurde"),
            "fr": ("Lieu", "ville où elle a été écrite"),
            "es": ("Lugar", "ciudad en la que se escribió"),
        }),
        "date": ("date", {
            "en": ("Date", "day of the letter"),
            "de": ("Datum", "Tag des Briefs"),
            "fr": ("Date", "jour de la lettre"),
            "es": ("Fecha", "día de la carta"),
        }),
        "subject": ("string", {
            "en": ("Subject", "what the letter is about"),
            "de": ("Betreff", "worum es im Brief geht"),
            "fr": ("Objet", "sujet de la lettre"),
            "es": ("Asunto", "tema de la carta"),
        }),
        "reference": ("string", {
            "en": ("Our reference", "reference code"),
            "de": ("Unser Zeichen", "Aktenzeichen"),
            "fr": ("Notre référence", "code de référence"),
            "es": ("Nuestra referencia", "código de referencia"),
        }),
        "reply_by": ("date", {
            "en": ("Reply by", "day by which an answer is wanted"),
            "de": ("Antwort bis", "Tag, bis zu dem geantwortet werden soll"),
            "fr": ("Réponse avant le", "date limite de réponse"),
            "es": ("Respuesta antes del", "fecha límite de respuesta"),
        }),
        "phone": ("string", {
            "en": ("Phone", "telephone number"),
            "de": ("Telefon", "Telefonnummer"),
            "fr": ("Téléphone", "numéro de téléphone"),
            "es": ("Teléfono", "número de teléfono"),
        }),
    },
    "report": {
        "title": ("string", {
            "en": ("Title", "title of the report"),
            "de": ("Titel", "Titel des Berichts"),
            "fr": ("Titre", "titre du rapport"),
            "es": ("Título", "título del informe"),
        }),
        "author": ("string", {
            "en": ("Author", "person who wrote the report"),
            "de": ("Verfasser", "Person, die den Bericht schrieb"),
            "fr": ("Auteur", "personne qui a écrit le rapport"),
            "es": ("Autor", "persona que escribió el informe"),
        }),
        "organization": ("string", {
            "en": ("Published by", "institution that publishes it"),
            "de": ("Herausgeber", "Stelle, die ihn herausgibt"),
            "fr": ("Éditeur", "institution qui le publie"),
            "es": ("Editor", "institución que lo publica"),
        }),
        "report_number": ("string", {
            "en": ("Report no.", "number of the report"),
            "de": ("Berichtsnummer", "Nummer des Berichts"),
            "fr": ("Rapport n°", "numéro du rapport"),
            "es": ("Informe n.º", "número del informe"),
        }),
        "published": ("date", {
            "en": ("Publication date", "day of publication"),
            "de": ("Veröffentlicht am", "Tag der Veröffentlichung"),
            "fr": ("Date de publication", "jour de publication"),
            "es": ("Fecha de publicación", "día de publicación"),
        }),
        "pages": ("integer", {
            "en": ("Pages", "number of pages"),
            "de": ("Seiten", "Zahl der Seiten"),
            "fr": ("Pages", "nombre de pages"),
            "es": ("Páginas", "número de páginas"),
        }),
        "cost": ("number", {
            "en": ("Cost of the study", "what the study cost"),
            "de": ("Kosten der Studie", "was die Studie kostete"),
            "fr": ("Coût de l'étude", "ce que l'étude a coûté"),
            "es": ("Coste del estudio", "lo que costó el estudio"),
        }),
        "contact": ("string", {
            "en": ("Contact", "e-mail address for questions"),
            "de": ("Kontakt", "E-Mail-Adresse für Fragen"),
            "fr": ("Contact", "adresse électronique pour les questions"),
            "es": ("Contacto", "correo electrónico para preguntas"),
        }),
    },
}  # fmt: skip
# What the fields are called in a schema in the language of the document.
_NAMES = {
    "de": {
        "invoice_number": "rechnungsnummer",
        "vendor": "lieferant",
        "customer": "kunde",
        "date": "datum",
        "due_date": "zahlungsziel",
        "tax": "steuer",
        "total": "gesamtbetrag",
        "order_number": "bestellnummer",
        "quantity": "menge",
        "sender": "absender",
        "recipient": "empfaenger",
        "place": "ort",
        "subject": "betreff",
        "reference": "zeichen",
        "reply_by": "antwortfrist",
        "phone": "telefon",
        "title": "titel",
        "author": "autor",
        "organization": "herausgeber",
        "report_number": "berichtsnummer",
        "published": "veroeffentlicht",
        "pages": "seiten",
        "cost": "kosten",
        "contact": "kontakt",
    },
    "fr": {
        "invoice_number": "numero_facture",
        "vendor": "fournisseur",
        "customer": "client",
        "date": "date",
        "due_date": "echeance",
        "tax": "tva",
        "total": "total",
        "order_number": "numero_commande",
        "quantity": "quantite",
        "sender": "expediteur",
        "recipient": "destinataire",
        "place": "lieu",
        "subject": "objet",
        "reference": "reference",
        "reply_by": "date_de_reponse",
        "phone": "telephone",
        "title": "titre",
        "author": "auteur",
        "organization": "editeur",
        "report_number": "numero_rapport",
        "published": "date_de_publication",
        "pages": "pages",
        "cost": "cout",
        "contact": "contact",
    },
    "es": {
        "invoice_number": "numero_factura",
        "vendor": "proveedor",
        "customer": "cliente",
        "date": "fecha",
        "due_date": "vencimiento",
        "tax": "iva",
        "total": "total",
        "order_number": "numero_pedido",
        "quantity": "cantidad",
        "sender": "remitente",
        "recipient": "destinatario",
        "place": "lugar",
        "subject": "asunto",
        "reference": "referencia",
        "reply_by": "fecha_de_respuesta",
        "phone": "telefono",
        "title": "titulo",
        "author": "autor",
        "organization": "editor",
        "report_number": "numero_informe",
        "published": "fecha_de_publicacion",
        "pages": "paginas",
        "cost": "coste",
        "contact": "contacto",
    },
}
_HEADINGS = {
    "invoice": {"en": "INVOICE", "de": "RECHNUNG", "fr": "FACTURE", "es": "FACTURA"},
    "letter": {"en": "LETTER", "de": "BRIEF", "fr": "LETTRE", "es": "CARTA"},
    "report": {"en": "REPORT", "de": "BERICHT", "fr": "RAPPORT", "es": "INFORME"},
}
# A sentence for each field, for prose.
_PROSE: dict[str, dict[str, str]] = {
    "en": {
        "invoice_number": "This is our invoice {}.", "vendor": "It is sent by {}.",
        "customer": "It is addressed to {}.", "date": "It was issued on {}.",
        "due_date": "Please pay by {}.", "tax": "The VAT included is {}.",
        "total": "The total amount to pay is {}.", "order_number": "It refers to your order {}.",
        "quantity": "We delivered {} items.", "sender": "I, {}, am writing on behalf of us all.",
        "recipient": "Dear {},", "place": "We write to you from {}.",
        "subject": "Subject: {}.", "reference": "Please quote our reference {}.",
        "reply_by": "We hope for your reply by {}.", "phone": "You can call us at {}.",
        "title": "{}", "author": "This report was written by {}.",
        "organization": "It is published by {}.", "report_number": "It is report number {}.",
        "published": "It was published on {}.", "pages": "It has {} pages.",
        "cost": "The study cost {}.", "contact": "Questions go to {}.",
    },
    "de": {
        "invoice_number": "Dies ist unsere Rechnung {}.", "vendor": "Sie kommt von {}.",
        "customer": "Sie ist gerichtet an {}.", "date": "Sie wurde ausgestellt am {}.",
        "due_date": "Bitte zahlen Sie bis zum {}.", "tax": "Die enthaltene Steuer beträgt {}.",
        "total": "Der zu zahlende Gesamtbetrag ist {}.",
        "order_number": "Sie betrifft Ihre Bestellung {}.", "quantity": "Geliefert: {} Artikel.",
        "sender": "Ich, {}, schreibe im Namen aller.", "recipient": "Guten Tag {},",
        "place": "Wir schreiben aus {}.", "subject": "Betreff: {}.",
        "reference": "Bitte nennen Sie unser Zeichen {}.",
        "reply_by": "Wir bitten um Antwort bis zum {}.", "phone": "Sie erreichen uns unter {}.",
        "title": "{}", "author": "Diesen Bericht schrieb {}.",
        "organization": "Herausgegeben wird er von {}.",
        "report_number": "Er trägt die Berichtsnummer {}.",
        "published": "Er wurde veröffentlicht am {}.", "pages": "Er hat {} Seiten.",
        "cost": "Die Studie kostete {}.", "contact": "Fragen gehen an {}.",
    },
    "fr": {
        "invoice_number": "Voici notre facture {}.", "vendor": "Elle est envoyée par {}.",
        "customer": "Elle est adressée à {}.", "date": "Elle a été émise le {}.",
        "due_date": "Merci de payer avant le {}.", "tax": "La TVA comprise est de {}.",
        "total": "Le montant total à payer est de {}.",
        "order_number": "Elle concerne votre commande {}.", "quantity": "Livré : {} articles.",
        "sender": "Moi, {}, je vous écris au nom de tous.", "recipient": "Bonjour {},",
        "place": "Nous vous écrivons de {}.", "subject": "Objet : {}.",
        "reference": "Merci de citer notre référence {}.",
        "reply_by": "Nous attendons votre réponse avant le {}.",
        "phone": "Notre téléphone est le {}.", "title": "{}",
        "author": "Ce rapport a été écrit par {}.", "organization": "Il est publié par {}.",
        "report_number": "C'est le rapport numéro {}.", "published": "Il a été publié le {}.",
        "pages": "Il compte {} pages.", "cost": "L'étude a coûté {}.",
        "contact": "Les questions vont à {}.",
    },
    "es": {
        "invoice_number": "Esta es nuestra factura {}.", "vendor": "La envía {}.",
        "customer": "Está dirigida a {}.", "date": "Fue emitida el {}.",
        "due_date": "Pague antes del {}.", "tax": "El IVA incluido es de {}.",
        "total": "El importe total a pagar es de {}.",
        "order_number": "Se refiere a su pedido {}.", "quantity": "Entregamos {} artículos.",
        "sender": "Yo, {}, escribo en nombre de todos.", "recipient": "Hola {},",
        "place": "Le escribimos desde {}.", "subject": "Asunto: {}.",
        "reference": "Cite nuestra referencia {}.",
        "reply_by": "Esperamos su respuesta antes del {}.", "phone": "Nuestro teléfono es {}.",
        "title": "{}", "author": "Este informe fue escrito por {}.",
        "organization": "Lo publica {}.", "report_number": "Es el informe número {}.",
        "published": "Se publicó el {}.", "pages": "Tiene {} páginas.",
        "cost": "El estudio costó {}.", "contact": "Las preguntas van a {}.",
    },
}  # fmt: skip


@dataclass(frozen=True)
class MadeDocument:
    """A made document.

    Attributes:
        name: its kind, language, layout and number.
        text: one page.
        schema: JSON Schema of its fields, all nullable.
        expected: the value of each field; None where it is absent.
        is_pdf: whether it is written as PDF.
    """

    name: str
    text: str
    schema: dict[str, Any]
    expected: dict[str, Value]
    is_pdf: bool

    @property
    def content(self) -> bytes:
        """The file."""
        return write_pdf([self.text]) if self.is_pdf else self.text.encode("utf-8")


def make_documents(number: int, seed: int) -> list[MadeDocument]:
    """Make documents in which kinds, languages and layouts alternate."""
    chosen = random.Random(seed)
    made = []
    for at in range(number):
        kind = KINDS[at % len(KINDS)]
        language = LANGUAGES[at // len(KINDS) % len(LANGUAGES)]
        layout = LAYOUTS[at // (len(KINDS) * len(LANGUAGES)) % len(LAYOUTS)]
        made.append(_make(at, kind, language, layout, chosen))
    return made


def _make(at: int, kind: str, language: str, layout: str, chosen: random.Random) -> MadeDocument:
    fields = _FIELDS[kind]
    asked_in = language if at % 2 else "en"
    shown: dict[str, str] = {}
    expected: dict[str, Value] = {}
    first = date(2023, 1, 1) + timedelta(days=chosen.randrange(1000))
    days = [first + timedelta(days=more) for more in (0, chosen.randrange(14, 45))]
    for name, (kind_of_value, _) in fields.items():
        text, value = _value(name, kind_of_value, language, days, chosen)
        if chosen.random() < ABSENT:
            expected[name] = None
        else:
            shown[name], expected[name] = text, value
    labels = {name: own[1][language][0] for name, own in fields.items()}
    draw: dict[str, Callable[..., list[str]]] = {
        "labels": _draw_labels, "table": _draw_table, "columns": _draw_columns,
        "prose": _draw_prose,
    }  # fmt: skip
    lines = draw[layout](shown, labels, language, chosen)
    heading = _HEADINGS[kind][language]
    called = _NAMES.get(asked_in, {})
    text = "\n".join([heading, "", *lines, "", _FILLER[language], ""])
    schema = {
        "type": "object",
        "properties": {
            called.get(name, name): {
                **({"type": ["string", "null"], "format": "date"} if own[0] == "date"
                   else {"type": [own[0], "null"]}),
                "description": own[1][asked_in][1],
            }
            for name, own in fields.items()
        },
    }  # fmt: skip
    name = f"{kind}-{language}-{layout}-{at}"
    expected = {called.get(name, name): value for name, value in expected.items()}
    return MadeDocument(name, text, schema, expected, is_pdf=bool(at // 2 % 2))


def _value(
    name: str, kind: str, language: str, days: Sequence[date], chosen: random.Random
) -> tuple[str, Value]:
    """A field's form in the text, and its value."""
    if kind == "date":
        day = days[name in {"due_date", "reply_by"}]
        return _write_date(day, language, chosen), day.isoformat()
    if kind == "number":
        amount = round(chosen.uniform(20, 20000), 2)
        return _write_amount(amount, language, chosen), amount
    if kind == "integer":
        count = chosen.randrange(2, 400)
        return str(count), count
    person = f"{chosen.choice(_FIRST)} {chosen.choice(_LAST)}"
    firm = f"{chosen.choice(_FIRMS)} {chosen.choice(_FORMS[language])}"
    codes = {
        "invoice_number": f"{chosen.choice(['INV', 'R', 'F'])}-{chosen.randrange(1000, 99999)}",
        "order_number": f"PO{chosen.randrange(10000, 99999)}",
        "reference": f"{chosen.choice('ABC')}/{chosen.randrange(100, 999)}-{chosen.choice('XYZ')}",
        "report_number": f"TR-{chosen.randrange(2000, 2026)}-{chosen.randrange(10, 99)}",
        "phone": f"+{chosen.randrange(30, 49)} {chosen.randrange(100, 999)} "
        f"{chosen.randrange(100000, 999999)}",
        "contact": f"{person.split()[1].lower()}@example.org",
        "vendor": firm, "customer": firm, "organization": firm,
        "subject": chosen.choice(_SUBJECTS[language]), "title": chosen.choice(_TITLES[language]),
        "place": chosen.choice(_CITIES[language]),
    }  # fmt: skip
    text = codes.get(name, person)
    return text, text


def _write_date(day: date, language: str, chosen: random.Random) -> str:
    month = _MONTHS[language].split()[day.month - 1]
    long = {
        "en": chosen.choice([f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}"]),
        "de": f"{day.day}. {month} {day.year}",
        "fr": f"{day.day} {month} {day.year}",
        "es": f"{day.day} de {month} de {day.year}",
    }[language]
    short = {
        "en": day.isoformat(), "de": f"{day:%d.%m.%Y}", "fr": f"{day:%d/%m/%Y}",
        "es": f"{day:%d/%m/%Y}",
    }[language]  # fmt: skip
    return chosen.choice([long, short])


def _write_amount(amount: float, language: str, chosen: random.Random) -> str:
    text = f"{amount:,.2f}"
    if language == "en":
        return f"{chosen.choice(['$', '£', 'EUR '])}{text}"
    thousands = "\u00a0" if language == "fr" else "."
    text = text.replace(",", "_").replace(".", ",").replace("_", thousands)
    return f"{text} {chosen.choice(['€', 'EUR'])}"


def _draw_labels(
    shown: dict[str, str], labels: dict[str, str], language: str, chosen: random.Random
) -> list[str]:
    """A line for each field, with distractors between them."""
    lines = [f"{labels[name]}: {text}" for name, text in shown.items()]
    chosen.shuffle(lines)
    return [*lines, "", f"1. {chosen.choice(_GOODS[language])}"]


def _draw_table(
    shown: dict[str, str], labels: dict[str, str], _language: str, _chosen: random.Random
) -> list[str]:
    """Labels above their values, three a row."""
    names, lines = list(shown), list[str]()
    for at in range(0, len(names), 3):
        row = names[at : at + 3]
        widths = [max(len(labels[name]), len(shown[name])) + 4 for name in row]
        for cells in ([labels[name] for name in row], [shown[name] for name in row]):
            lines.append("".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip())
        lines.append("")
    return lines


def _draw_columns(
    shown: dict[str, str], labels: dict[str, str], language: str, chosen: random.Random
) -> list[str]:
    """Labels on the left and values on the right, dotted or spaced; a list of goods below."""
    width = max(map(len, labels.values())) + 6
    lines = [f"{labels[name]:<{width}}{text}" for name, text in shown.items()]
    lines += ["", *(f"- {goods}" for goods in chosen.sample(_GOODS[language], 3))]
    return lines


def _draw_prose(
    shown: dict[str, str], _labels: dict[str, str], language: str, chosen: random.Random
) -> list[str]:
    """A sentence for each field."""
    lines, line = list[str](), ""
    for name, text in shown.items():
        sentence = _PROSE[language][name].format(text)
        if line and len(line) + len(sentence) > 80:
            lines.append(line.rstrip())
            line = ""
        line += sentence + " "
        if name in {"title", "recipient"}:  # alone on its line
            lines.append(line.rstrip())
            line = ""
    return [*lines, line.rstrip(), "", chosen.choice(_GOODS[language]).capitalize() + "."]
