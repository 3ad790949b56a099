"""Texts of many languages in the encodings that people have them in, and --encoding."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from checks import Checks

from fastkv_cli.cli.app import run
from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, load_document
from fastkv_cli.documents.encodings import superset
from fastkv_cli.errors import DocumentError, ExitCode, UsageError

# A few sentences each, written for this test: about what an official letter would hold.
SAMPLES = {
    "russian": """Комиссия собралась четырнадцатого марта и обсудила вопрос о строительстве новой
школы. Жители города просили построить её рядом с парком, но денег в бюджете не хватает. Поэтому
было решено вернуться к этому вопросу осенью, когда будет готов отчёт. До тех пор дети будут ездить
на автобусе, а мэрия оплатит им проезд.""",
    "ukrainian": """Комісія зібралася чотирнадцятого березня і обговорила питання про будівництво
нової школи. Мешканці міста просили збудувати її поруч із парком, але грошей у бюджеті не вистачає.
Тому вирішили повернутися до цього питання восени, коли буде готовий звіт.""",
    "bulgarian": """Комисията се събра на четиринадесети март и обсъди въпроса за строежа на ново
училище. Жителите на града поискаха то да бъде построено до парка, но парите в бюджета не стигат.""",
    "japanese": """委員会は三月十四日に集まり、新しい学校の建設について話し合いました。町の人々は公園のとなりに建て
てほしいと言いましたが、予算が足りません。そのため、秋に報告書ができてから、もう一度この問題について考えることに
なりました。それまで子どもたちはバスで通い、町がその料金を払います。""",
    "simplified": """委员会于三月十四日开会，讨论了建设新学校的问题。市民们希望学校建在公园旁边，但是预算里的钱不够。因此
大家决定等到秋天报告完成以后再来讨论这个问题。在那之前，孩子们将乘坐公共汽车上学，费用由市政府支付。""",
    "traditional": """委員會於三月十四日開會，討論了建設新學校的問題。市民們希望學校建在公園旁邊，但是預算裡的錢不夠。因此
大家決定等到秋天報告完成以後再來討論這個問題。在那之前，孩子們將搭乘公車上學，費用由市政府支付。""",
    "korean": """위원회는 삼월 십사일에 모여 새 학교를 짓는 문제를 논의했습니다. 시민들은 공원 옆에 지어 달라고 했지만
예산이 부족합니다. 그래서 가을에 보고서가 나온 뒤에 이 문제를 다시 다루기로 했습니다. 그때까지 아이들은 버스를 타고
학교에 다니고, 요금은 시에서 냅니다.""",
    "french": """La commission s’est réunie le quatorze mars et a discuté de la construction d’une nouvelle
école. Les habitants ont demandé qu’elle soit bâtie à côté du parc, mais l’argent manque : il a été
décidé d’y revenir à l’automne, « quand le rapport sera prêt ».""",
    "german": """Die Kommission traf sich am vierzehnten März und sprach über den Bau einer neuen Schule.
Die Bürger möchten sie neben dem Park haben, aber das Geld genügt nicht. Man beschloss, im Herbst auf
die Frage zurückzukommen, wenn der Bericht fertig ist. Größere Änderungen sind möglich.""",
    "spanish": """La comisión se reunió el catorce de marzo y habló de la construcción de una nueva escuela.
¿Dónde? Los vecinos pidieron que fuera junto al parque, pero el dinero no alcanza; volverán a
discutirlo en otoño, cuando el señor Núñez entregue el informe.""",
    "portuguese": """A comissão reuniu-se no dia catorze de março e discutiu a construção de uma nova escola.
Os moradores pediram que não fosse longe do parque, mas as finanças não são suficientes.""",
    "finnish": """Lautakunta kokoontui neljästoista maaliskuuta ja keskusteli uuden koulun rakentamisesta.
Asukkaat pyysivät, että se rakennettaisiin puiston viereen, mutta rahat eivät riitä. Päätettiin palata
asiaan syksyllä, kun selvitys on valmis. Siihen asti lapset kulkevat bussilla töiden ohi.""",
    "swedish": """Nämnden träffades den fjortonde mars och talade om att bygga en ny skola. Invånarna bad att
den skulle ligga bredvid parken, men pengarna räcker inte, så frågan får vänta till hösten.""",
    "danish": """Udvalget mødtes den fjortende marts og talte om at bygge en ny skole. Borgerne bad om, at den
skulle ligge ved siden af parken, men pengene rækker ikke, så spørgsmålet må vente på næste år.""",
    "polish": """Komisja zebrała się czternastego marca i omówiła sprawę budowy nowej szkoły. Mieszkańcy
prosili, żeby stanęła obok parku, ale w budżecie brakuje pieniędzy. Postanowiono więc wrócić do tej
sprawy jesienią, gdy będzie gotowy raport, a dzieci będą jeździć autobusem.""",
    "czech": """Komise se sešla čtrnáctého března a jednala o stavbě nové školy. Občané žádali, aby stála
vedle parku, ale v rozpočtu není dost peněz. Proto bylo rozhodnuto vrátit se k této otázce na podzim,
až bude hotová zpráva; do té doby budou děti jezdit autobusem.""",
    "hungarian": """A bizottság március tizennegyedikén ült össze, és az új iskola építéséről tárgyalt. A
lakók azt kérték, hogy a park mellett legyen, de a költségvetésben nincs elég pénz. Ezért ősszel
térnek vissza a kérdésre, amikor elkészül a jelentés; addig a gyerekek busszal járnak.""",
    "turkish": """Komisyon on dört Mart’ta toplandı ve yeni bir okulun yapılmasını görüştü. Şehirde
yaşayanlar okulun parkın yanında olmasını istedi, ancak bütçede yeterli para yok. Bu yüzden konuya
sonbaharda, rapor hazır olduğunda geri dönülecek; çocuklar o zamana kadar otobüsle gidecek.""",
    "greek": """Η επιτροπή συνεδρίασε στις δεκατέσσερις Μαρτίου και συζήτησε για την κατασκευή ενός νέου
σχολείου. Οι κάτοικοι ζήτησαν να χτιστεί δίπλα στο πάρκο, αλλά τα χρήματα δεν φτάνουν.""",
    "hebrew": """הוועדה התכנסה בארבעה עשר במרץ ודנה בבניית בית ספר חדש. התושבים ביקשו שייבנה ליד הפארק,
אבל הכסף בתקציב אינו מספיק. לכן הוחלט לחזור לשאלה בסתיו, כאשר הדוח יהיה מוכן.""",
    "arabic": """اجتمعت اللجنة في الرابع عشر من مارس وناقشت بناء مدرسة جديدة. طلب السكان أن تبنى بجانب
الحديقة، لكن المال في الميزانية لا يكفي. لذلك تقرر العودة إلى هذا الموضوع في الخريف.""",
    "thai": """คณะกรรมการประชุมเมื่อวันที่สิบสี่มีนาคมและพูดคุยเรื่องการสร้างโรงเรียนใหม่ ชาวเมืองขอให้สร้างข้างสวนสาธารณะ
แต่เงินในงบประมาณไม่พอ""",
    "lithuanian": """Komisija susirinko kovo keturioliktą dieną ir aptarė naujos mokyklos statybą. Gyventojai
prašė, kad ji stovėtų šalia parko, bet biudžete trūksta pinigų. Todėl nuspręsta grįžti prie šio
klausimo rudenį, kai bus paruošta ataskaita; iki tol vaikai važiuos autobusu.""",
}
IN = {
    "russian": ["cp1251", "koi8-r", "iso8859-5", "cp866"],
    "ukrainian": ["cp1251", "koi8-u"],
    "bulgarian": ["cp1251"],
    "japanese": ["shift_jis", "cp932", "euc_jp", "iso2022_jp"],
    "simplified": ["gb18030", "gb2312"],
    "traditional": ["big5"],
    "korean": ["cp949", "euc_kr"],
    **{name: ["cp1252"] for name in ("french", "german", "spanish", "portuguese", "finnish")},
    **{name: ["cp1252", "latin-1"] for name in ("swedish", "danish")},
    **{name: ["cp1250", "iso8859-2"] for name in ("polish", "czech", "hungarian")},
    "turkish": ["cp1254"],
    "greek": ["cp1253", "iso8859-7"],
    "hebrew": ["cp1255"],
    "arabic": ["cp1256"],
    "thai": ["cp874"],
    "lithuanian": ["cp1257"],
}


def load_bytes(folder: Path, data: bytes, encoding: str | None = None) -> Document:
    path = folder / "a.txt"
    path.write_bytes(data)
    return load_document(str(path), ReadOptions(encoding=encoding))


@pytest.mark.parametrize("language", SAMPLES)
def test_legacy_encodings(tmp_path: Path, language: str) -> None:
    with Checks() as check:
        for encoding, times in product(IN[language], (1, 30)):
            with check(f"{encoding}, {times} times"):
                sample = "\n\n".join([SAMPLES[language]] * times)
                read = load_bytes(tmp_path, sample.encode(encoding))
                assert read.text == sample
                guesses = [warning for warning in read.warnings if "(a guess)" in warning]
                assert len(guesses) == (encoding != "iso2022_jp")


@pytest.mark.parametrize("language", SAMPLES)
def test_unicode_needs_no_mark(tmp_path: Path, language: str) -> None:
    with Checks() as check:
        for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le"):
            with check(encoding):
                read = load_bytes(tmp_path, SAMPLES[language].encode(encoding))
                assert read.text == SAMPLES[language]
                assert read.warnings == ()


@pytest.mark.parametrize("language", ["japanese", "simplified", "traditional", "korean"])
def test_a_few_words_in_an_english_text(tmp_path: Path, language: str) -> None:
    encoding = IN[language][0]
    text = f"The committee ({SAMPLES[language][:12]}) met 14 times in 1999.\n" * 20
    assert load_bytes(tmp_path, text.encode(encoding)).text == text.strip()


@pytest.mark.parametrize("text", ["one café only", "résumé, naïve", "5 € – “so”", "Zoë"])
def test_a_few_accents_are_windows_1252(tmp_path: Path, text: str) -> None:
    read = load_bytes(tmp_path, f"In plain English, {text}.".encode("cp1252"))
    assert read.text == f"In plain English, {text}."
    assert "read as Windows-1252 (a guess)" in read.warnings[0]
    assert "--encoding" in read.warnings[0]


class TestTold:
    """--encoding, where the user knows."""

    @pytest.mark.parametrize(
        ("encoding", "name"),
        [
            ("mac_roman", "macintosh"),
            ("cp850", "850"),
            ("utf-16-le", "UTF-16LE"),
            ("utf-16", "utf16"),
            ("utf-8-sig", "utf-8"),
            ("gb18030", "GB2312"),
            ("cp1252", "ISO-8859-1"),
            ("utf-7", "utf-7"),
        ],
    )
    def test_it_is_taken(self, tmp_path: Path, encoding: str, name: str) -> None:
        text = "Grüße, “5”" if encoding in {"cp1252", "mac_roman"} else "Grüße"
        read = load_bytes(tmp_path, text.encode(encoding), name)
        assert (read.text, read.warnings) == (text, ())

    def test_it_goes_before_the_mark_and_all_else(self, tmp_path: Path) -> None:
        assert load_bytes(tmp_path, b"\xef\xbb\xbfa", "cp1252").text == "ï»¿a"
        mistaken = "Grüße".encode().decode("koi8-r")
        assert load_bytes(tmp_path, "Grüße".encode(), "koi8-r").text == mistaken

    def test_bytes_that_do_not_fit_are_counted(self, tmp_path: Path) -> None:
        read = load_bytes(tmp_path, b"a\xffb\xfec", "utf-8")
        assert read.text == "a\ufffdb\ufffdc"
        assert read.warnings == ("2 places do not decode as UTF-8 and show as \ufffd",)

    def test_a_picture_stays_a_picture(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match="is a GIF image"):
            load_bytes(tmp_path, b"GIF89a" + bytes(99), "latin-1")

    @pytest.mark.parametrize(
        "name", ["no-such", "hex", "rot13", "undefined", "", "a\0b", "base64", "idna"]
    )
    def test_unknown_names(self, name: str) -> None:
        with pytest.raises(
            UsageError, match=r"encoding .* is unknown: name one as utf-8"
        ) as caught:
            ReadOptions(encoding=name)
        assert repr(name) in str(caught.value)

    def test_on_the_command_line(
        self,
        options: list[str],
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Path("a.txt").write_bytes("Grüße aus Köln, schöne Grüße".encode("cp850"))
        assert run(["summarize", "a.txt", *options, "--encoding", "cp850"]) == 0
        assert "a guess" not in capfd.readouterr().err
        monkeypatch.setenv("FASTKV_ENCODING", "cp850")
        assert run(["ask", "a.txt", "Woher?", *options]) == 0
        assert "a guess" not in capfd.readouterr().err
        monkeypatch.setenv("FASTKV_ENCODING", "nonsense")
        assert run(["summarize", "a.txt", *options]) == ExitCode.USAGE
        assert "encoding 'nonsense' is unknown" in capfd.readouterr().err


def test_names_stand_for_what_software_means_by_them() -> None:
    assert superset("latin1") == superset("ascii") == "cp1252"
    assert superset("GBK") == superset("gb2312-1980") == "gb18030"
    assert superset("koi8_r") == "koi8-r"
