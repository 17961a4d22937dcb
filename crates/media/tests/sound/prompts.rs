//! The announcements in each codec.

use offhook_media::sound::recording;
use offhook_media::{Codec, Prompt};

use crate::network::{Ear, rate};

use offhook_testing::tone;

const CODECS: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];

fn spoken(prompt: Prompt, codec: Codec) -> Vec<i16> {
    let mut ear = Ear::new(codec);
    recording(prompt, codec).iter().flat_map(|packet| ear.hear(packet)).collect()
}

#[test]
fn an_announcement_is_of_the_same_length_and_loudness_in_each_codec() {
    for codec in CODECS {
        let pcm = spoken(Prompt::Connected, codec);
        let length = pcm.len() as f64 / f64::from(rate(codec));
        assert!((5.0..7.0).contains(&length), "{codec:?}: {length} s");
        assert_eq!(pcm.len(), recording(Prompt::Connected, codec).len() * rate(codec) as usize / 50, "packets of 20 ms");
        let loudness = tone::loudness(&pcm);
        assert!((0.03..0.3).contains(&loudness), "{codec:?}: {loudness}");
        assert!(pcm.iter().all(|sample| sample.unsigned_abs() < 32_600), "{codec:?} is clipped");
    }
}

/// Words and pauses are at the same time in each codec.
#[test]
fn an_announcement_has_its_words_at_the_same_time_in_each_codec() {
    let course = |codec: Codec| -> Vec<f64> {
        spoken(Prompt::Connected, codec).chunks_exact(rate(codec) as usize / 10).map(tone::loudness).collect()
    };
    let opus = course(Codec::Opus);
    assert!(opus.iter().filter(|loudness| **loudness < 0.01).count() > 3, "there are pauses: {opus:.2?}");
    for codec in CODECS {
        let likeness = opus.iter().zip(course(codec)).map(|(a, b)| (a - b).abs()).sum::<f64>() / opus.iter().sum::<f64>();
        assert!(likeness < 0.25, "{codec:?}: {likeness}");
    }
}
