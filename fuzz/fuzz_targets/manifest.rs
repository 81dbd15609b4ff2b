#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    lighter_image::fuzz::json(data);
    lighter_registry::fuzz::manifest(data);
});
