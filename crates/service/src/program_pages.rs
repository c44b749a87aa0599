//! The pages of the program that only its start needed.

/// To be called once a small service is ready: gives the kernel back the pages of the program file
/// that are mapped so far. What is still needed comes back from the kernel's cache of the file with
/// the next access; what parses flags and sets things up does not. Answers how many bytes that were.
pub fn give_back_program_pages() -> usize {
    #[cfg(target_os = "linux")]
    {
        linux::give_back().unwrap_or(0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        0
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ops::Range;

    /// Mappings of the program as `/proc/self/smaps` describes them.
    pub(super) fn give_back() -> Option<usize> {
        let program = std::fs::read_link("/proc/self/exe").ok()?;
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut given = 0;
        for (pages, resident) in clean(&smaps, program.to_str()?) {
            let length = pages.end - pages.start;
            // SAFETY: the range is a mapping of the program file that is not writable and of which no
            // page differs from the file, so each comes back as it was when it is next touched.
            let done = unsafe {
                libc::madvise(
                    pages.start as *mut libc::c_void,
                    length,
                    libc::MADV_DONTNEED,
                )
            };
            if done == 0 {
                given += resident;
            }
        }
        Some(given)
    }

    /// The read-only mappings of a file of which no page has a copy of its own (that of the
    /// relocated constants has), and how much of each is resident.
    pub(super) fn clean(smaps: &str, file: &str) -> Vec<(Range<usize>, usize)> {
        let mut found = Vec::new();
        let mut current: Option<(Range<usize>, usize)> = None;
        for line in smaps.lines() {
            let mut words = line.split_ascii_whitespace();
            let first = words.next().unwrap_or_default();
            if !first.ends_with(':') {
                current = mapping(first, words.next(), line, file).map(|range| (range, 0));
                continue;
            }
            let kilobytes = words.next().and_then(|word| word.parse::<usize>().ok());
            match (first, &mut current) {
                ("Rss:", Some((_, resident))) => *resident = kilobytes.unwrap_or(0) << 10,
                ("Anonymous:", Some(_)) if kilobytes == Some(0) => found.extend(current.take()),
                _ => {}
            }
        }
        found
    }

    fn mapping(range: &str, rights: Option<&str>, line: &str, file: &str) -> Option<Range<usize>> {
        let read_only =
            rights.is_some_and(|rights| rights.starts_with('r') && !rights.contains('w'));
        let of_file = line
            .strip_suffix(file)
            .is_some_and(|rest| rest.ends_with(' '));
        if !read_only || !of_file {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        (start < end).then_some(start..end)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_what_is_as_in_the_file() {
            let smaps = "\
55d0000-55d1000 r--p 00000000 08:01 42   /usr/bin/agent
Size:                  4 kB
Rss:                   4 kB
Anonymous:             0 kB
55d1000-55d9000 r-xp 00001000 08:01 42   /usr/bin/agent
Rss:                  24 kB
Anonymous:             0 kB
55d9000-55da000 r--p 00009000 08:01 42   /usr/bin/agent
Rss:                   4 kB
Anonymous:             4 kB
55da000-55db000 rw-p 0000a000 08:01 42   /usr/bin/agent
Rss:                   4 kB
Anonymous:             0 kB
7f00000-7f01000 r-xp 00000000 08:01 43   /usr/lib/libc.so.6
Rss:                   4 kB
Anonymous:             0 kB
";
            let wanted = [
                (0x55d_0000..0x55d_1000, 4096),
                (0x55d_1000..0x55d_9000, 24 << 10),
            ];
            assert_eq!(clean(smaps, "/usr/bin/agent"), wanted);
            assert_eq!(clean("nonsense\nRss: x\nAnonymous: 0 kB\n", "/x"), []);
        }

        #[test]
        fn the_program_goes_on() {
            assert!(give_back().unwrap() > 0);
            // Constants and code are there again.
            assert_eq!(
                format!("{:?}", "still here".split(' ').collect::<Vec<_>>()),
                r#"["still", "here"]"#
            );
        }
    }
}
