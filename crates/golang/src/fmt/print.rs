//! Verbs against values, and the format string (`fmt/print.go`).

use super::number::{Integer, Spec};
use super::{Arg, Kind};

/// Widths and precisions beyond this are not believed.
const MAX_NUMBER: i64 = 1_000_000;

#[derive(Default)]
pub(super) struct Printer {
    pub out: String,
    spec: Spec,
    /// Inside of an error text methods are not called.
    erroring: bool,
}

/// What is being read of a format string.
struct Scan<'f> {
    format: &'f str,
    at: usize,
    next_arg: usize,
    count: usize,
    reordered: bool,
    good_index: bool,
}

impl Printer {
    pub(super) fn printf(&mut self, format: &str, args: &[Arg]) {
        let mut scan = Scan {
            format,
            at: 0,
            next_arg: 0,
            count: args.len(),
            reordered: false,
            good_index: true,
        };
        while scan.at < format.len() {
            let rest = &format[scan.at..];
            let plain = rest.find('%').unwrap_or(rest.len());
            self.out.push_str(&rest[..plain]);
            scan.at += plain;
            if scan.at < format.len() {
                scan.at += 1;
                self.directive(&mut scan, args);
            }
        }
        if !scan.reordered && scan.next_arg < args.len() {
            self.extra(&args[scan.next_arg..]);
        }
    }

    /// One `%...v`, from behind the percent sign.
    fn directive(&mut self, scan: &mut Scan<'_>, args: &[Arg]) {
        self.spec = Spec::default();
        scan.good_index = true;
        loop {
            match scan.peek() {
                Some(b'#') => self.spec.sharp = true,
                Some(b'0') => self.spec.zero = true,
                Some(b'+') => self.spec.plus = true,
                Some(b'-') => self.spec.minus = true,
                Some(b' ') => self.spec.space = true,
                _ => break,
            }
            scan.at += 1;
        }
        let mut after_index = scan.index();
        if scan.peek() == Some(b'*') {
            scan.at += 1;
            match scan.integer(args) {
                Some(width) => {
                    if width < 0 {
                        self.spec.minus = true;
                        self.spec.zero = false;
                    }
                    self.spec.width = Some(width.unsigned_abs() as usize);
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            self.spec.width = scan.number();
            if after_index && self.spec.width.is_some() {
                scan.good_index = false;
            }
        }
        if scan.peek() == Some(b'.') && scan.at + 1 < scan.format.len() {
            scan.at += 1;
            if after_index {
                scan.good_index = false;
            }
            after_index = scan.index();
            if scan.peek() == Some(b'*') {
                scan.at += 1;
                match scan.integer(args) {
                    Some(precision) if precision >= 0 => {
                        self.spec.precision = Some(precision as usize);
                    }
                    _ => self.out.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                self.spec.precision = Some(scan.number().unwrap_or(0));
            }
        }
        if !after_index {
            scan.index();
        }
        let Some(verb) = scan.format[scan.at..].chars().next() else {
            return self.out.push_str("%!(NOVERB)");
        };
        scan.at += verb.len_utf8();
        if verb == '%' {
            return self.out.push('%');
        }
        if !scan.good_index {
            return self.note(verb, "(BADINDEX)");
        }
        let Some(arg) = args.get(scan.next_arg) else {
            return self.note(verb, "(MISSING)");
        };
        if matches!(verb, 'v' | 'w') {
            self.spec.sharp_v = std::mem::take(&mut self.spec.sharp);
            self.spec.plus_v = std::mem::take(&mut self.spec.plus);
        }
        scan.next_arg += 1;
        self.arg(arg, verb);
    }

    fn note(&mut self, verb: char, text: &str) {
        self.out.push_str("%!");
        self.out.push(verb);
        self.out.push_str(text);
    }

    fn extra(&mut self, args: &[Arg]) {
        self.spec = Spec::default();
        self.out.push_str("%!(EXTRA ");
        for (at, arg) in args.iter().enumerate() {
            if at > 0 {
                self.out.push_str(", ");
            }
            if matches!(arg.kind, Kind::Nil) {
                self.out.push_str("<nil>");
            } else {
                self.out.push_str(&arg.type_name);
                self.out.push('=');
                self.arg(arg, 'v');
            }
        }
        self.out.push(')');
    }

    /// One argument under a verb.
    pub(super) fn arg(&mut self, arg: &Arg, verb: char) {
        match (&arg.kind, verb) {
            (Kind::Nil, 'T' | 'v') => self.spec.pad(&mut self.out, "<nil>"),
            (Kind::Nil, _) => self.bad_verb(arg, verb),
            (_, 'T') => self.spec.string(&mut self.out, &arg.type_name),
            (Kind::Pointer(_) | Kind::Func | Kind::Map(_) | Kind::List(_), 'p') => {
                self.pointer(arg, 'p');
            }
            (_, 'p' | 'w') => self.bad_verb(arg, verb),
            _ => self.value(arg, verb, 0),
        }
    }

    fn value(&mut self, arg: &Arg, verb: char, depth: usize) {
        if let Some(text) = &arg.text
            && !self.erroring
            && !self.spec.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
        {
            return self.string(arg, text, verb);
        }
        match &arg.kind {
            Kind::Nil if self.spec.sharp_v => self.out.push_str("interface {}(nil)"),
            Kind::Nil => self.out.push_str("<nil>"),
            Kind::Bool(value) if matches!(verb, 't' | 'v') => {
                let text = if *value { "true" } else { "false" };
                self.spec.pad(&mut self.out, text);
            }
            Kind::Bool(_) => self.bad_verb(arg, verb),
            Kind::Int(value) => self.integer(arg, Integer::Signed(*value), verb),
            Kind::Uint(value) => self.integer(arg, Integer::Unsigned(*value), verb),
            Kind::Float(value) => self.float(arg, *value, 64, verb),
            Kind::Float32(value) => self.float(arg, f64::from(*value), 32, verb),
            Kind::String(text) => self.string(arg, text, verb),
            Kind::Bytes(bytes) => self.bytes(arg, bytes, verb, depth),
            Kind::List(items) => {
                let parts: Vec<(Option<&Arg>, &Arg)> = items.iter().map(|i| (None, i)).collect();
                let open = if self.spec.sharp_v { "{" } else { "[" };
                self.group(arg, open, &parts, verb, depth);
            }
            Kind::Map(entries) => {
                let parts: Vec<(Option<&Arg>, &Arg)> =
                    entries.iter().map(|(k, v)| (Some(k), v)).collect();
                let open = if self.spec.sharp_v { "{" } else { "map[" };
                self.group(arg, open, &parts, verb, depth);
            }
            Kind::Struct(fields) => self.fields(arg, fields, verb, depth),
            Kind::Pointer(Some(target))
                if depth == 0
                    && matches!(
                        target.kind,
                        Kind::List(_) | Kind::Struct(_) | Kind::Map(_) | Kind::Bytes(_)
                    ) =>
            {
                self.out.push('&');
                self.value(target, verb, depth + 1);
            }
            Kind::Pointer(_) | Kind::Func => self.pointer(arg, verb),
        }
    }

    fn separator(&mut self, at: usize) {
        if at > 0 {
            self.out
                .push_str(if self.spec.sharp_v { ", " } else { " " });
        }
    }

    fn group(
        &mut self,
        arg: &Arg,
        open: &str,
        parts: &[(Option<&Arg>, &Arg)],
        verb: char,
        depth: usize,
    ) {
        if self.spec.sharp_v {
            self.out.push_str(&arg.type_name);
        }
        self.out.push_str(open);
        for (at, (key, value)) in parts.iter().enumerate() {
            self.separator(at);
            if let Some(key) = key {
                self.value(key, verb, depth + 1);
                self.out.push(':');
            }
            self.value(value, verb, depth + 1);
        }
        self.out.push(if self.spec.sharp_v { '}' } else { ']' });
    }

    fn fields(&mut self, arg: &Arg, fields: &[(String, Arg)], verb: char, depth: usize) {
        if self.spec.sharp_v {
            self.out.push_str(&arg.type_name);
        }
        self.out.push('{');
        for (at, (name, value)) in fields.iter().enumerate() {
            self.separator(at);
            if self.spec.sharp_v || self.spec.plus_v {
                self.out.push_str(name);
                self.out.push(':');
            }
            self.value(value, verb, depth + 1);
        }
        self.out.push('}');
    }

    fn string(&mut self, arg: &Arg, text: &str, verb: char) {
        let spec = self.spec;
        match verb {
            'v' if spec.sharp_v => spec.quoted(&mut self.out, text),
            'v' | 's' => spec.string(&mut self.out, text),
            'q' => spec.quoted(&mut self.out, text),
            'x' => spec.hexadecimal(&mut self.out, text.as_bytes(), false),
            'X' => spec.hexadecimal(&mut self.out, text.as_bytes(), true),
            _ => self.bad_verb(arg, verb),
        }
    }

    fn bytes(&mut self, arg: &Arg, bytes: &[u8], verb: char, depth: usize) {
        let spec = self.spec;
        match verb {
            's' => spec.string(&mut self.out, &String::from_utf8_lossy(bytes)),
            'q' => spec.quoted(&mut self.out, &String::from_utf8_lossy(bytes)),
            'x' => spec.hexadecimal(&mut self.out, bytes, false),
            'X' => spec.hexadecimal(&mut self.out, bytes, true),
            _ => {
                let items: Vec<Arg> = bytes
                    .iter()
                    .map(|&b| Arg::new("uint8", Kind::Uint(u64::from(b))))
                    .collect();
                let list = Arg::new(arg.type_name.clone(), Kind::List(items));
                self.value(&list, verb, depth);
            }
        }
    }

    fn integer(&mut self, arg: &Arg, value: Integer, verb: char) {
        let spec = self.spec;
        let out = &mut self.out;
        match (verb, value) {
            ('v', Integer::Unsigned(_)) if spec.sharp_v => {
                let spec = Spec {
                    sharp: true,
                    ..spec
                };
                spec.integer(out, value, 16, 'v');
            }
            ('v' | 'd', _) => spec.integer(out, value, 10, verb),
            ('b', _) => spec.integer(out, value, 2, verb),
            ('o' | 'O', _) => spec.integer(out, value, 8, verb),
            ('x' | 'X', _) => spec.integer(out, value, 16, verb),
            ('c', _) => spec.character(out, value.bits()),
            ('q', _) => spec.quoted_character(out, value.bits()),
            ('U', _) => spec.unicode(out, value.bits()),
            _ => self.bad_verb(arg, verb),
        }
    }

    fn float(&mut self, arg: &Arg, value: f64, bits: u32, verb: char) {
        let spec = self.spec;
        match verb {
            'v' => spec.float(&mut self.out, value, bits, 'g', -1),
            'b' | 'g' | 'G' | 'x' | 'X' => spec.float(&mut self.out, value, bits, verb, -1),
            'f' | 'e' | 'E' => spec.float(&mut self.out, value, bits, verb, 6),
            'F' => spec.float(&mut self.out, value, bits, 'f', 6),
            _ => self.bad_verb(arg, verb),
        }
    }

    fn pointer(&mut self, arg: &Arg, verb: char) {
        let address: u64 = match &arg.kind {
            Kind::Pointer(None) => 0,
            _ => 0xc000_0000_0000,
        };
        let hexadecimal = |spec: Spec, out: &mut String, sharp| {
            let spec = Spec { sharp, ..spec };
            spec.integer(out, Integer::Unsigned(address), 16, 'v');
        };
        let spec = self.spec;
        match verb {
            'v' if spec.sharp_v => {
                self.out.push_str(&format!("({})(", arg.type_name));
                if address == 0 {
                    self.out.push_str("nil");
                } else {
                    hexadecimal(spec, &mut self.out, true);
                }
                self.out.push(')');
            }
            'v' if address == 0 => spec.pad(&mut self.out, "<nil>"),
            'v' | 'p' => hexadecimal(spec, &mut self.out, !spec.sharp),
            'b' | 'o' | 'd' | 'x' | 'X' => self.integer(arg, Integer::Unsigned(address), verb),
            _ => self.bad_verb(arg, verb),
        }
    }

    /// `%!d(string=x)`; the value keeps the flags.
    fn bad_verb(&mut self, arg: &Arg, verb: char) {
        self.erroring = true;
        self.note(verb, "(");
        if matches!(arg.kind, Kind::Nil) {
            self.out.push_str("<nil>");
        } else {
            self.out.push_str(&arg.type_name);
            self.out.push('=');
            self.value(arg, 'v', 0);
        }
        self.out.push(')');
        self.erroring = false;
    }
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.as_bytes().get(self.at).copied()
    }

    /// A decimal number; one too large is none, but is read.
    fn number(&mut self) -> Option<usize> {
        let mut value = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let next = value.unwrap_or(0) * 10 + i64::from(digit - b'0');
            if next > MAX_NUMBER {
                return None;
            }
            value = Some(next);
            self.at += 1;
        }
        value.map(|v| v as usize)
    }

    /// `[n]`: the number of the argument to take next, from 1.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest.find(']') else {
            self.good_index = false;
            self.at += 1;
            return false;
        };
        self.at += close + 1;
        let digits = &rest[1..close];
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse::<usize>() {
            Ok(number) if plain && (1..=self.count).contains(&number) => {
                self.next_arg = number - 1;
                true
            }
            Ok(_) if plain => {
                self.good_index = false;
                true
            }
            _ => {
                self.good_index = false;
                false
            }
        }
    }

    /// The next argument as a width or precision.
    fn integer(&mut self, args: &[Arg]) -> Option<i64> {
        let arg = args.get(self.next_arg)?;
        self.next_arg += 1;
        let value = match arg.kind {
            Kind::Int(value) => value,
            Kind::Uint(value) => i64::try_from(value).ok()?,
            _ => return None,
        };
        (value.abs() <= MAX_NUMBER).then_some(value)
    }
}
