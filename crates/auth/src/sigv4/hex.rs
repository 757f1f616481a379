//! Bytes as lower-case hexadecimal digits, the one form that signatures and digests have here.

pub(super) fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Thirty-two bytes: a SHA-256.
pub(super) fn decode(text: &str) -> Option<[u8; 32]> {
    let digit = |c: u8| DIGITS.iter().position(|digit| *digit == c).and_then(|at| u8::try_from(at).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_nothing_else() {
        let bytes: [u8; 32] = std::array::from_fn(|n| n as u8 * 8);
        assert_eq!(decode(&encode(&bytes)), Some(bytes));
        for wrong in [
            &encode(&bytes)[1..],
            &encode(&bytes)[2..],
            &"F".repeat(64),
            &"0g".repeat(32),
            "",
            &"é".repeat(32),
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
