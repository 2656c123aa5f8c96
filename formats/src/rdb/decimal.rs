//! Numbers as text, without the general printer.

use std::io::Write as _;

/// Appends a decimal number.
#[inline]
pub fn push_number(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_unsigned(out, number.unsigned_abs());
}

/// Appends a decimal number without a sign.
#[inline]
pub fn push_unsigned(out: &mut Vec<u8>, number: u64) {
    let mut room = [0_u8; 20];
    let mut at = room.len();
    let mut rest = number;
    loop {
        at -= 1;
        room[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&room[at..]);
}

/// Appends a finite score as text that reads as the same number. Nearly all have three decimals or fewer, and those are found by a division,
/// which rounds as the reader of the text does; the general way costs four times as much.
#[inline]
pub fn push_score(out: &mut Vec<u8>, score: f64) {
    let thousands = score * 1000.0;
    #[allow(clippy::cast_possible_truncation, reason = "it is below 2^53")]
    let whole = thousands as i64;
    #[allow(clippy::float_cmp, reason = "the same number is meant")]
    let exact = thousands.abs() < 9e15 && whole as f64 == thousands && whole as f64 / 1000.0 == score;
    if !exact || (whole == 0 && score.is_sign_negative()) {
        // Writing to a vector cannot fail.
        drop(write!(out, "{score}"));
        return;
    }
    if whole < 0 {
        out.push(b'-');
    }
    let (whole, thousandths) = (whole.unsigned_abs() / 1000, whole.unsigned_abs() % 1000);
    push_unsigned(out, whole);
    let digits = [b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)];
    let kept = match thousandths {
        0 => 0,
        _ if thousandths.is_multiple_of(100) => 2,
        _ if thousandths.is_multiple_of(10) => 3,
        _ => 4,
    };
    out.extend_from_slice(&digits[..kept]);
}

fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_read_as_the_same_number() {
        let mut seed = 7_u64;
        let random = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(seed)
        });
        let decimals = (-3000..3000).map(|n| f64::from(n) / 1000.0);
        let some = [
            0.0,
            -0.0,
            1.5,
            0.1,
            1e15,
            1e16,
            -1e22,
            9_007_199_254_740_993.0,
            8.9e12 + 0.001,
            f64::MIN_POSITIVE,
        ];
        for score in random.take(20_000).filter(|score| score.is_finite()).chain(decimals).chain(some) {
            let mut text = Vec::new();
            push_score(&mut text, score);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), score.to_bits(), "{text}");
            assert_eq!(text, score.to_string());
        }
        for number in [0, 9, 10, -1, i64::MAX, i64::MIN] {
            let mut text = Vec::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }
}
