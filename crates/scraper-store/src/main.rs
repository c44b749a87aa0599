//! The program; everything is in the library.

// Builds with a C compiler alone; jemalloc would want make as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    service::without_huge_pages();
    service::main(&scraper_store::PROGRAM, scraper_store::run)
}
