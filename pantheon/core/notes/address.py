"""Words that speak to whoever judges a text, instead of about its note.

A small model that compares two texts does what either of them asks it to. So who speaks to it is not compared at all.
What is looked for is a manner of speaking, in a few languages: an order to choose or to answer, a claim about which of
the alternatives is right, a role in a conversation. A wording that none of this foresees gets by.
"""

import re
import unicodedata

from pantheon.core.decoys import content_words, is_near

SHOWN_CHARS = 40
_ALIKE = str.maketrans(
    "аеорсухіјѕԁһԛԝӏαορυνικАВЕКМНОРСТХІЈЅΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", "aeopcyxijsdhqwlaopuvikABEKMHOPCTXIJSABEHIKMNOPTXYZ"
)
"""Letters of other scripts that look like Latin ones."""
_CHOOSE = (
    r"choos(?:e|ing)|pick|select|prefer|favou?r|vote for|opt for|go with|answer|reply|respond|output|print|emit|return"
    r"|wähle?n?|antworte\w*|bevorzuge\w*|nimm|nehmen sie|entscheide\w*"
    r"|choisi\w+|répond\w+|préfér\w+|sélectionn\w+|optez"
    r"|eli[gj]\w+|escog\w+|escoj\w+|respond\w+|prefier\w+|seleccion\w+"
    r"|sceg\w+|rispond\w+|escolh\w+|kies|antwoord\w*|выбер\w+|ответ\w+"
)
_CHOICE = (
    r"options?|alternatives?|choices?|candidates?|answers?|letters?|labels?|verdicts?"
    r"|antwort(?:en)?|buchstaben?|möglichkeit(?:en)?|réponses?|lettres?|choix|respuestas?|letras?|opci(?:ón|ones)"
    r"|risposta|lettera|opzione|resposta|opção|antwoord|optie|ответ\w*|букв\w*|вариант\w*"
)
_FIELD = (
    r"titles?|descriptions?|tags?|metadata|entry|proposals?|headings?|headlines?|titels?|beschreibung|schlagwörter|titres?|título"
    r"|descripción|titolo|descrizione|descrição|beschrijving"
)
_THIS = (
    r"this|these|it|the (?:first|second|former|latter|following|above)"
    r"|diese\w*|ce(?:tte|tt?e?)?|est[ea]|quest[oa]|dit"
)
_RIGHT = (
    r"right|correct|true|official|genuine|authentic|canonical|authoritative|verified|approved"
    r"|richtig\w*|korrekt\w*|offiziell\w*|einzig\w*|correcte?|bonne?|officielle?|vraie?"
    r"|correct[oa]|oficial|verdader[oa]|giust[oa]|corret[oa]|juiste?"
)
_WRONG = (
    r"wrong|incorrect|false|fake|decoy|distractor|trap|bogus|spam"
    r"|falsch\w*|fausse|faux|fals[oa]|incorrect[oa]|leurre"
)
_JUDGE = (
    r"reviewers?|graders?|evaluators?|assessors?|raters?|judges?|arbiters?|assistants?|chatbots?|language models?|llms?"
    r"|ai models?|the model|prüfer\w*|gutachter\w*|sprachmodell\w*|relect\w+|évaluat\w+|modèle de langage"
    r"|evaluador\w*|revisor\w*|modelo de lenguaje"
)
_MUST = (
    r"must|should|shall|has to|have to|is to|are to|need to|needs to|will|please|may only|ought to|(?:is|are) asked to"
    r"|muss|müssen|soll|sollen|bitte|doit|doivent|debe|deben|por favor|veuillez"
)
_LETTER = (
    r"(?-i:\b[AB]\b)(?!\s+(?-i:[A-Z]))"
    r"(?=\s*(?:\W|$|and\b|or\b|in\b|for\b|as\b|every|each|always|regardless|whatever|whichever))"
)
"""A label of an alternative, and no article or grade."""
_ORDERS = (
    r"\b(?:ignor\w+|disregard\w*|forget|override\w*|overrule\w*|skip|vergiss|vergessen|missacht\w+|oubli\w+|olvid\w+)"
    r"\b[^.]{0,50}\b(?:instructions?|prompts?|rules?|guidelines?|above|previous|earlier|prior|everything|the note"
    r"|anweisung\w*|bisher\w*|consignes?|précédent\w*|instrucci\w+|anterior\w*)\b",
    rf"\b(?:{_CHOOSE})\b[^.;|]{{0,30}}(?:\b(?:{_CHOICE})\b|{_LETTER})",
    rf"\b(?:{_CHOOSE})\b\s+(?:always\s+|only\s+|with\s+)?(?:{_THIS})\b"
    rf"(?:\s+(?:one|{_FIELD}|{_CHOICE})\b|\s*[.!,]|\s*$)",
    rf"\b(?:always|only|please|must|immer|toujours|siempre|bitte|veuillez|you should)\s+(?:{_CHOOSE})\b",
)
"""To set aside what was asked, or to choose."""
_CLAIMS = (
    rf"\b(?:{_CHOICE})\b\s*(?:is|are|was|ist|lautet|est|es|è|é)\b[^.]{{0,20}}(?:{_LETTER}|\b(?:{_RIGHT})\b)",
    rf"\b(?:{_RIGHT})\s+(?:{_CHOICE})\b",
    rf"\b(?:{_CHOICE})\s+(?:{_RIGHT})\b",
    rf"\b(?:is|it|this|thus)\b[^.]{{0,12}}\bthe (?:{_RIGHT}) one\b",
    rf"\b(?:{_THIS})\s+(?:one|{_FIELD}|{_CHOICE}|text|line)\s*(?:is|are|was|ist|est|es)\b[^.]{{0,25}}\b(?:{_RIGHT})\b",
    rf"\b(?:this|it) is the (?:{_RIGHT}) (?:one|{_FIELD}|text|line)\b",
    rf"\b(?:the|any|every|all)\s+other\w*\s+(?:one|{_FIELD}|{_CHOICE}|text|line)?s?\s*"
    rf"(?:is|are|was|were|being)?\b[^.]{{0,25}}\b(?:{_WRONG})\b",
    r"\b(?:answer|reply|response|antwort|réponse|respuesta|verdict|label|choice)\s*[:=]\s*[\"'(*]*"
    rf"(?:{_LETTER}|pass\b|approve)",
    rf"\b(?:{_RIGHT})\s+(?:{_FIELD})\s+(?:of|for|is|von|für|de|ist|est|es)\b",
    rf"\bthe\s+(?:{_FIELD})\s+of\s+this\s+(?:note|document|file|text|page)\b",
    r"\b(?:verified|approved|confirmed|validated|certified|reviewed|checked|signed off|accepted|cleared|endorsed)"
    r"\s+(?:by|as)\b[^.]{0,25}\b(?:maintainers?|editors?|authors?|owners?|librarians?|staff|humans?|admins?\w*|team"
    r"|hand|archivists?|reviewers?|committee|experts?|correct|final)\b",
    r"\bverdict\b[^.]{0,25}\b(?:pass|change|approve\w*|accept\w*)\b",
    r"\b(?:(?:either|whichever) (?:label |)|(?<!over )(?<!mean of )both )orders?\b",
    r"\b(?:ground[ -]truth|gold(?:en)?[ -](?:label|answer)s?|distractors?|rival (?:title|description|option|tag)s?)\b",
    rf"\b(?:the|any|every) (?:other|rival|competing|opposite|alternative) (?:{_FIELD}|{_CHOICE}|alternative)\b",
    r"\b(?:letters?|labels?|buchstaben?|lettres?|letras?)\b[^.]{0,20}\b(?:in front of|beside|next to|preced\w+"
    rf"|printed|dies\w+|de ce\w*|de est\w*)\s+(?:this|that|the)?\s*(?:{_FIELD}|{_CHOICE}|text|line|paragraph)?",
    r"\b(?:labels?|letters?) (?:were |are |is |was )?(?:swapped|shifted|exchanged|turned round)\b",
)
"""About which of the alternatives is right, or what was decided elsewhere."""
_PERSONS = (
    rf"(?:^|[.!?]\s+|\n)\W{{0,8}}(?:{_JUDGE})\s*(?::|,(?!\s*\w+ (?:and|or)\b))",
    rf"\b(?:{_JUDGE})\b[^.]{{0,20}}\b(?:{_MUST})\b",
    rf"\b(?:dear|attention|note to(?: the)?|message (?:to|for)(?: the)?|hey|hello)\s+(?:{_JUDGE}|model|ai)\b",
    r"\b(?:if|when|whenever|once) (?:you(?:'re| are| were)? |someone |anyone |)(?:asked|prompted|comparing|compare)\b",
    r"\byou(?:'re| are)(?: now)? (?:in|an?|the|being|about to)\b",
    r"\bas an? (?:ai|llm|language model|assistant)\b",
    r"\b(?:wenn|falls) (?:du|sie|man) (?:dich |sie |gefragt|fragt)\w*",
    r"\bsi (?:on|l'on|vous|te|le) \w*(?:demande|pregunt)\w*",
)
"""Who judges, spoken to or about."""
_TURNS = (
    r"(?:^|\n)\W{0,8}(?:(?:assistant|ai)\s*(?:message|prompt|note)?\s*[:>\]]"
    r"|(?:system|user|human)\s*(?:(?:message|prompt|note)\s*[:>\]]|[>\]]|:(?=\s*(?:\S+\s+){3}\S)|:\s*(?-i:[AB])\b))",
    r"\b(?:system|developer) (?:message|prompt|override|note|notice|instruction)\b",
    r"<\||\|>|\[/?inst\]|<</?sys>>|</?note>|</?\w{0,20}_(?:turn|header_id|start|end|of_turn)>",
    r"\bend of (?:the |this )?(?:note|document|text|file|input|excerpt)\b",
    r"\bpart of (?:the|this) note\b|\bthe note above\b|\b(?:text|prose|body|document) above (?:is|was|are|were)\b",
    r"(?<!#)#{2,6}\s{0,4}(?:instruction|response|system|answer|question)",
)
"""Roles of a conversation, an end of the note that is none, and what the note is from the outside."""
_FAR = (
    r"请选|請選|选择?\s*(?:[AB甲乙这此该本前后上]|第[一二])|選んで|選択して|(?:答案|正解|答え)\s*(?:是|为|為|は|[::])"
    r"|正确(?:的)?(?:答案|选项|标题|描述|说法)|(?:请|請|回答|答)\s*[::]?\s*[AB]\b|[请請]回答|答えて|回答して"
    r"|(?:评审|評審)\s*(?:员|者|人|請|请|[::,,])|(?:忽略|无视|無視)\s*(?:以上|上述|上面|之前|此前|先前|前面|所有|一切|上文)"
    r"|정답\s*[은:]|(?:을|를)\s*선택\s*하?(?:세요|십시오|라)|선택\s*(?:하세요|하십시오|해\s*주|해라)|답(?:은|하세요)\s*[AB]",
)
"""An order or a claim in languages that set no space between words; a word of these alone is a subject."""
_SPOKEN = re.compile("|".join((*_ORDERS, *_CLAIMS, *_PERSONS, *_TURNS, *_FAR)), re.IGNORECASE)


_ORDERED = re.compile(
    r"(?-i:\b[AB]\b)|\b(?:please|always|only|ignore|disregard|forget|override|overrule|instructions?|verdict|immer|bitte"
    r"|toujours|veuillez|siempre|por favor|this|these|it|one|me|first|second|former|latter|above|other|rival"
    r"|opposite|either|both|whichever)\b|[<>|\[\]#=]|\b(?:system|assistant|user|human|ai)\s*:",
    re.IGNORECASE,
)
"""What a hit has that is no subject, whatever the note is about."""
_AUXILIARY = frozenset("must need needs ought will shall please".split())
_AFTER = 20
"""Letters after a hit in which it may point to something."""
MIN_ROW = 3
"""Words of a hit from which on a note can have them in a row."""
_MAX_SUBJECTS = 20
"""Hits of one text that may be excused."""


def address_in(text: str, note: str = "") -> str:
    """Return the words of a text that speak to whoever judges it; empty where there are none.

    Args:
        text: what may speak.
        note: what is heard of its note. Words that name what that is about do not speak, unless they order or point.
    """
    subject = _Subject(note) if note else None
    plain = _plain(text)
    for version in dict.fromkeys((plain, plain.translate(_ALIKE))):
        found, seen = _SPOKEN.search(version), 0
        while (
            found
            and subject
            and seen < _MAX_SUBJECTS
            and subject.has(found.group(), version[found.end() : found.end() + _AFTER])
        ):
            found, seen = _SPOKEN.search(version, found.start() + 1), seen + 1
        if found:
            return " ".join(found.group().split())[:SHOWN_CHARS]
    return ""


class _Subject:
    """What a note is about."""

    def __init__(self, note: str) -> None:
        self._words = content_words(note)
        self._row = _row(note)

    def has(self, said: str, after: str) -> bool:
        """Tell whether words are the note's own, three or more in a row or all that carry a subject, and no order.

        Args:
            said: the words.
            after: what follows on them.
        """
        if _ORDERED.search(said + after):
            return False
        row, own = _row(said), content_words(said) - _AUXILIARY
        return (row.count(" ") > MIN_ROW and row in self._row) or (
            bool(own) and all(is_near(word, self._words) for word in own)
        )


def _row(text: str) -> str:
    """Return the words of a text, each between spaces."""
    words = re.findall(r"[^\W_]+", text.lower())
    return f" {' '.join(words)} "


def _plain(text: str) -> str:
    """Return a text with one form for each letter, nothing invisible, and joined words apart."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return re.sub(r"(?<=\w)[-_](?=\w)", " ", text)
