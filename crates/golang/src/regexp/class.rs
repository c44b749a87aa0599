//! Named character classes as Go knows them (`regexp/syntax/perl_groups.go`, package `unicode`).

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// A class of the given runs.
pub(super) fn class_of(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|&(a, z)| ClassUnicodeRange::new(a, z)))
}

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// `\d \s \w`, always ASCII; the capital letter negates. The second value says "negated".
pub(super) fn perl(letter: u8) -> Option<(ClassUnicode, bool)> {
    let ranges = match letter.to_ascii_lowercase() {
        b'd' => DIGIT,
        b's' => SPACE,
        b'w' => WORD,
        _ => return None,
    };
    Some((class_of(ranges), letter.is_ascii_uppercase()))
}

/// `[:alpha:]` and its kind, `[:^alpha:]` negated, by what stands between the colons.
pub(super) fn posix(name: &str) -> Option<(ClassUnicode, bool)> {
    let (negated, name) = match name.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => DIGIT,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some((class_of(ranges), negated))
}

/// `\p{name}`: a general category or its long name, a script's long name, or one of `Any`, `ASCII`,
/// `Assigned`; case, blanks, hyphens and underscores do not count (Go 1.25).
pub(super) fn unicode(name: &str) -> Option<ClassUnicode> {
    let name: String = name
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    match name.as_str() {
        "any" => return Some(class_of(&[('\0', char::MAX)])),
        "ascii" => return Some(class_of(&[('\0', '\x7f')])),
        // UTF-8 has no surrogates.
        "cs" | "surrogate" => return Some(ClassUnicode::empty()),
        _ => {}
    }
    if name == "assigned" || CATEGORIES.contains(&name.as_str()) {
        return table("gc", &name);
    }
    SCRIPTS
        .contains(&name.as_str())
        .then(|| table("sc", &name))?
}

fn table(property: &str, name: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::parse(&format!(r"\p{{{property}={name}}}")).ok()?;
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class.clone()),
        // A category of one character.
        HirKind::Literal(literal) => {
            let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(class_of(&[(c, c)]))
        }
        _ => None,
    }
}

#[rustfmt::skip]
const CATEGORIES: &[&str] = &[
    "c", "cc", "cf", "cn", "co", "l", "lc", "ll", "lm", "lo", "lt", "lu", "m", "mc", "me", "mn",
    "n", "nd", "nl", "no", "p", "pc", "pd", "pe", "pf", "pi", "po", "ps", "s", "sc", "sk", "sm",
    "so", "z", "zl", "zp", "zs", "casedletter", "closepunctuation", "combiningmark",
    "connectorpunctuation", "control", "currencysymbol", "dashpunctuation", "decimalnumber",
    "enclosingmark", "finalpunctuation", "format", "initialpunctuation", "letter", "letternumber",
    "lineseparator", "lowercaseletter", "mark", "mathsymbol", "modifierletter", "modifiersymbol",
    "nonspacingmark", "number", "openpunctuation", "other", "otherletter", "othernumber",
    "otherpunctuation", "othersymbol", "paragraphseparator", "privateuse", "punctuation",
    "separator", "spaceseparator", "spacingmark", "symbol", "titlecaseletter", "unassigned",
    "uppercaseletter", "cntrl", "digit", "punct",
];

/// Long names only: Go does not know the four-letter ones.
#[rustfmt::skip]
const SCRIPTS: &[&str] = &[
    "adlam", "ahom", "anatolianhieroglyphs", "arabic", "armenian", "avestan", "balinese", "bamum",
    "bassavah", "batak", "bengali", "bhaiksuki", "bopomofo", "brahmi", "braille", "buginese",
    "buhid", "canadianaboriginal", "carian", "caucasianalbanian", "chakma", "cham", "cherokee",
    "chorasmian", "common", "coptic", "cuneiform", "cypriot", "cyprominoan", "cyrillic", "deseret",
    "devanagari", "divesakuru", "dogra", "duployan", "egyptianhieroglyphs", "elbasan", "elymaic",
    "ethiopic", "georgian", "glagolitic", "gothic", "grantha", "greek", "gujarati", "gunjalagondi",
    "gurmukhi", "han", "hangul", "hanifirohingya", "hanunoo", "hatran", "hebrew", "hiragana",
    "imperialaramaic", "inherited", "inscriptionalpahlavi", "inscriptionalparthian", "javanese",
    "kaithi", "kannada", "katakana", "kawi", "kayahli", "kharoshthi", "khitansmallscript", "khmer",
    "khojki", "khudawadi", "lao", "latin", "lepcha", "limbu", "lineara", "linearb", "lisu",
    "lycian", "lydian", "mahajani", "makasar", "malayalam", "mandaic", "manichaean", "marchen",
    "masaramgondi", "medefaidrin", "meeteimayek", "mendekikakui", "meroiticcursive",
    "meroitichieroglyphs", "miao", "modi", "mongolian", "mro", "multani", "myanmar", "nabataean",
    "nagmundari", "nandinagari", "newtailue", "newa", "nko", "nushu", "nyiakengpuachuehmong",
    "ogham", "olchiki", "oldhungarian", "olditalic", "oldnortharabian", "oldpermic", "oldpersian",
    "oldsogdian", "oldsoutharabian", "oldturkic", "olduyghur", "oriya", "osage", "osmanya",
    "pahawhhmong", "palmyrene", "paucinhau", "phagspa", "phoenician", "psalterpahlavi", "rejang",
    "runic", "samaritan", "saurashtra", "sharada", "shavian", "siddham", "signwriting", "sinhala",
    "sogdian", "sorasompeng", "soyombo", "sundanese", "sylotinagri", "syriac", "tagalog",
    "tagbanwa", "taile", "taitham", "taiviet", "takri", "tamil", "tangsa", "tangut", "telugu",
    "thaana", "thai", "tibetan", "tifinagh", "tirhuta", "toto", "ugaritic", "vai", "vithkuqi",
    "wancho", "warangciti", "yezidi", "yi", "zanabazarsquare",
];
