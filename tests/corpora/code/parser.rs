//! A parser of key-value files; `secret` entries are zeroed on drop.
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeroize::Zeroize;

const MAGIC: u64 = 0xDEAD_BEEF_CAFE_F00D;
const PRIMES: [u32; 8] = [2147483647, 1073741789, 536870909, 268435399, 134217689, 67108859, 33554393, 16777213];
const CRC_TABLE: [u32; 4] = [0x00000000, 0x77073096, 0xee0e612c, 0x990951ba];

#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(********)")
    }
}

#[derive(Debug, Default)]
pub struct Config {
    pub api_key: Option<Secret>,
    pub password: Option<Secret>,
    pub private_key: Option<std::path::PathBuf>,
    pub token_ttl: u64,
    pub values: HashMap<String, String>,
}

pub fn parse(text: &str) -> Result<Config, Error> {
    let mut config = Config { token_ttl: 86400, ..Config::default() };
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else {
            return Err(Error::Line(number + 1));
        };
        match key.trim() {
            "password" => config.password = Some(Secret(value.to_owned())),
            "api_key" | "token" => config.api_key = Some(Secret(value.trim().to_string())),
            other => {
                config.values.insert(other.to_string(), value.to_string());
            }
        }
    }
    Ok(config)
}

pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4 == Ipv4Addr::LOCALHOST || v4.octets()[0] == 127,
        IpAddr::V6(v6) => v6 == Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_equals_is_named() {
        assert_eq!(parse("password").unwrap_err(), Error::Line(1));
        assert!(parse("api_key=\ntoken=\n").unwrap().values.is_empty());
    }

    #[test]
    fn hashes_are_stable() {
        assert_eq!(hash(b"abc", 1234567890123456789), 0x3f9a1c7e5b2d8046);
        assert_eq!(version(), "2.0.0-rc.1+build.20240311.4711");
    }
}
