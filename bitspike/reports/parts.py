"""What a page is made of: plain values that a template writes down without computing."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Form = Literal["svg", "png"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: as it is read.
        value: the number behind it, exactly, for sorting and for machines; None where it is a word.
        code: whether it is to be copied letter by letter, as a hash.
    """

    text: str
    value: float | None = None
    code: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under named columns; the first cell of a row names it.

    Attributes:
        name: its identifier in the page.
        caption: what it says, in a sentence.
        heads: of the columns, units included.
        rows: as many cells each as there are heads.
    """

    name: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A figure.

    Attributes:
        name: its identifier in the page, and the stem of its files.
        title: in a few words.
        description: the same facts in words, for those who do not see it.
        render: gives the bytes of the picture in a form.
        paper: whether it needs white paper; others take the colour of the page's text.
    """

    name: str
    title: str
    description: str
    render: Callable[[Form], bytes]
    paper: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Lines that are shown as they stand, folded away under their title where they are `long`."""

    title: str
    lines: str
    long: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A file that the page carries in itself.

    Attributes:
        title: what it is, as the link's words.
        name: under which a browser saves it.
        media: its media type.
        content: its bytes.
    """

    title: str
    name: str
    media: str
    content: bytes

    @property
    def address(self) -> str:
        """The file as a ``data:`` address."""
        return f"data:{self.media};base64,{b64encode(self.content).decode()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One part of the page, shown in the order: said, tables, drawings, texts, attachments.

    Attributes:
        name: its identifier in the page.
        title: its heading.
        said: paragraphs.
    """

    name: str
    title: str
    said: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    texts: tuple[Text, ...] = ()
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """One of the few figures at the top: what it is, the figure, and what it is of."""

    label: str
    figure: str
    detail: str


def word(text: object) -> Cell:
    """A cell that sorts by its letters."""
    return Cell(text=str(text))


def number(value: float, form: str = ",") -> Cell:
    """A cell that shows `value` in a format and sorts by all its digits."""
    return Cell(text=format(value, form), value=value)


def energy(nanojoules: float) -> str:
    """An energy with the unit that suits it: ``6.70 µJ``, ``707.5 nJ``."""
    for factor, unit in ((1e9, "J"), (1e6, "mJ"), (1e3, "µJ")):
        if nanojoules >= factor:
            return f"{nanojoules / factor:.2f} {unit}"
    return f"{nanojoules:.1f} nJ"


def data_label(name: str) -> str:
    """The name of data without the folders in it: ``nmnist:frames.npz:test``."""
    family, *others = name.split(":")
    return ":".join([family, *(part.rstrip("/").rpartition("/")[2] or part for part in others)])


def counted(count: int, noun: str) -> str:
    """``1 core``, ``2 cores``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([part for part in (", ".join(words[:-1]), *words[-1:]) if part])
