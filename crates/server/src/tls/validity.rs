//! Until when a certificate holds (RFC 5280, section 4.1).

use streamer_protocol::Timestamp;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The end of a certificate's validity, if it can be read. Of the certificate's fields only those before it are
/// passed; whoever uses the certificate checks it.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = content(certificate, SEQUENCE)?;
    let (mut fields, _) = content(certificate, SEQUENCE)?;
    if let Some((_, rest)) = content(fields, VERSION) {
        fields = rest;
    }
    // The serial number, the signature's algorithm, the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = content(fields, tag)?;
    }
    let (validity, _) = content(fields, SEQUENCE)?;
    let (_, end) = content(validity, UTC_TIME).or_else(|| content(validity, GENERALIZED_TIME))?;
    if let Some((short, _)) = content(end, UTC_TIME) {
        let text = std::str::from_utf8(short).ok()?;
        let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
        return moment(&format!("{century}{text}"));
    }
    moment(std::str::from_utf8(content(end, GENERALIZED_TIME)?.0).ok()?)
}

/// `YYYYMMDDHHMMSSZ`.
fn moment(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14 && digits.is_ascii())?;
    let [year, month, day, hour, minute, second] =
        [0..4, 4..6, 6..8, 8..10, 10..12, 12..14].map(|place| &digits[place]);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

/// The first value of `der`, if it is of this kind; and what follows it.
pub(super) fn content(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (len, rest) = match usize::from(short) {
        len @ ..0x80 => (len, rest),
        long => {
            let (digits, rest) =
                rest.split_at_checked(long - 0x80).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        let key = KeyPair::generate().expect("made");
        for (year, end) in
            [(1999, "1999-05-06"), (2031, "2031-05-06"), (2050, "2050-05-06"), (4096, "4096-05-06")]
        {
            let mut params = CertificateParams::new(["localhost".to_owned()]).expect("valid");
            params.not_before = date_time_ymd(1998, 1, 1);
            params.not_after = date_time_ymd(year, 5, 6);
            let made = params.self_signed(&key).expect("made");
            let read = not_after(made.der()).expect("readable");
            assert_eq!(read.to_string(), format!("{end}T00:00:00.000Z"));
        }
    }

    #[test]
    fn whatever_is_cut_off_is_no_date_and_no_panic() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let der = made.cert.der();
        for cut in 0..der.len() {
            assert_eq!(not_after(&der[..cut]), None, "{cut}");
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]), None);
    }
}
