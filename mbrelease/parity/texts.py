"""The fixed texts that every tokenizer and model is asked about. Written for this; in nobody's way.

They are short, and each is there for something that a tokenizer gets wrong: spaces, case, accents
in two forms, scripts, code, numbers, emoji, words that no vocabulary holds, the names of special
tokens. Changing one changes what earlier reports say; add at the end instead.
"""

from __future__ import annotations

TEXTS: tuple[str, ...] = (
    # Plain English first: every tokenizer must give these back.
    "The quick brown fox jumps over the lazy dog.",
    "A model is only as good as the text it was trained on.",
    "Rain fell on the harbour all night, and by morning the boats were gone.",
    "She said that it couldn't be done; they'd done it before lunch.",
    "WHY ARE WE SHOUTING? We are not, said the Smiths' neighbour.",
    "The patient was given 20 mg of prednisolone daily for 3 weeks.",
    "Water boils at 100 degrees at sea level, and sooner on a mountain.",
    "one two  three   four    five",
    " a space before",
    "a space after ",
    "No.",
    "x",
    "",
    " ",
    # Numbers, signs and code.
    "3.14159 1,234,567.89 1e-05 0x1F 50% 2024-02-29 12:34:56",
    "p < 0.001; n = 42; 95% CI [0.8, 1.2]",
    "https://example.org/a/b?c=d&e=f#g and someone@example.org",
    "def f(x: int) -> int:\n    return x ** 2 if x > 0 else -x\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}",
    'SELECT name, COUNT(*) FROM "table" WHERE id != 7 GROUP BY name;',
    "<p class='note'>5 &gt; 3</p>",
    '{"key": [1, null, true], "nested": {"a": "b\\n"}}',
    "C:\\Temp\\new and ~/data/*.csv",
    "tabs\tbetween\t\twords\nand\n\nnew lines\r\nof two kinds",
    # Other languages in Latin letters; accents in one character and in two.
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.",
    "L'insuffisance rénale aiguë a été traitée à l'hôpital dès le 1er août.",
    "« Où est-elle allée ? » demanda-t-il.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Cafe\u0301 and caf\u00e9, A\u030angstro\u0308m and \u00c5ngstr\u00f6m",
    "Tiếng Việt có nhiều dấu.",
    "İstanbul'da ılık bir gün",
    # Other scripts, among them from right to left, and without spaces.
    "Съешь же ещё этих мягких французских булок.",
    "Η γρήγορη αλεπού πηδάει πάνω από το σκυλί.",
    "القطة تنام تحت الشجرة 123.",
    "\u05d4\u05d9\u05dc\u05d3 \u05d0\u05db\u05dc \u05ea\u05e4\u05d5\u05d7 (today).",
    "今天天气很好，我们去公园吧。",
    "東京で寿司を食べました。",
    "오늘은 날씨가 좋습니다.",
    "यह एक छोटा वाक्य है।",
    "วันนี้อากาศดี",
    # Emoji, of one character and of several, and characters that cannot be seen.
    "Well done 🎉👍🏽 👩‍🔬 🇫🇷 ❤️!",
    "zero\u200bwidth, soft\u00adhyphen, no\u00a0break",
    "𝔸 𝕄𝕠𝕕𝕖𝕝 ½ ² µ ﬁ Ω",
    # A word that no vocabulary holds, and one letter many times.
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "a" * 200,
    "-" * 40 + "=" * 40,
    # The names of special tokens, whichever of them the tokenizer has.
    "The capital of France is [MASK].",
    "[CLS] one [SEP] two [SEP] [PAD][PAD]",
    "a[MASK]b [MASK][MASK] [UNK]",
    "The capital of France is <mask>. <s>one</s> <pad> <eos>",
)
