#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lighter_image::fuzz::layer(data));
