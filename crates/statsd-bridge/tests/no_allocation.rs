//! A line of a series that is known costs no allocation, whatever its type and tags.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use statsd_bridge::{Bridge, Mapper, Options};
use telemetry::Registry;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all work is the system allocator's; the counter neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps this function's promises, which are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_known_series_costs_no_allocation() {
    let mapping = "
defaults: {observer_type: histogram, ttl: 1h}
mappings:
- {match: app.*.*, name: app_$1, labels: {verb: $2}, histogram_options: {buckets: [1, 2]}}
";
    let mut options = Options::default();
    options.parser.sets = true;
    let mapper = Mapper::parse(mapping).unwrap();
    let bridge = Bridge::new(&Registry::new(), options, mapper, None);
    let mut intake = bridge.intake();
    let packet =
        b"app.hits.get:1|c|@0.5|#zone:a,host:b\napp.load.get:-3.25|g|#host:b,zone:c|c:id|T1\n\
        app.wait.get:320|ms|#host:b\napp.size.get:1:2:3|d|#host:b\napp.users.get:ann|s|#host:b\n\
        other,host=b,zone=c:1|c\nother#host=b:1|c\nother[host=b]:1|c:2|c\n_e{1,1}:a|b\nmalformed";
    for round in 0..3 {
        for line in packet.split(|byte| *byte == b'\n') {
            let now = bridge.now();
            let before = ALLOCATIONS.get();
            intake.packet(line, now);
            let allocations = ALLOCATIONS.get() - before;
            let text = String::from_utf8_lossy(line);
            assert!(round == 0 || allocations == 0, "{text}: {allocations}");
        }
        intake.flush();
    }
    assert!(ALLOCATIONS.get() > 0);
}
