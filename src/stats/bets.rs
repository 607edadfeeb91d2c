//! The one primitive: bets that a rate is too high, and bets that it is not.
//!
//! Each bet multiplies its capital, at every block of requests, by a factor whose expectation is at most 1 while its null
//! hypothesis holds. So a capital of 1/α is reached with probability α at most, however often one looks (Ville, Étude
//! critique de la notion de collectif, 1939; Ramdas et al., Game-theoretic statistics and safe anytime-valid inference,
//! arXiv 2210.01948). All capitals are kept as natural logarithms.

use serde::{Deserialize, Serialize};

/// Tilts of bets on "worse": about how many times too many events each expects. A mixture of six stands for all.
const WORSE: [f64; 6] = [1.5, 2.0, 3.5, 7.0, 20.0, 100.0];
/// Tilts of bets on "fine".
const FINE: [f64; 5] = [0.7, 0.5, 0.3, 0.1, 0.02];
/// The part of the first capital that is not at stake.
const CASH: f64 = 0.2;
/// At update u, each bet gives the part 1/(u + this) of its capital to all of them, so that a late regression does not
/// have to win back what long good times lost (fixed share: Herbster and Warmuth, Tracking the Best Expert, 1998). The
/// sum stays, and so does the guarantee.
const SHARE: f64 = 500.0;
/// The most that one block adds to a bet, in nats: one terrible report is not enough. A cap lowers a capital only, and
/// depends on the past only, so the guarantee stays.
const CAP: f64 = 2.0;
/// How often the cap doubles while one block after the other meets it: a lasting failure is not delayed.
const CAP_DOUBLINGS: u32 = 6;

/// Events among requests. Not always whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests to which it happened.
    pub events: f64,
    /// All requests.
    pub requests: f64,
}

/// Events on both arms, measured at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The new version.
    pub canary: Tally,
    /// The version that it is compared with.
    pub primary: Tally,
}

impl Tally {
    /// More of them.
    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.requests += other.requests;
    }
}

impl Block {
    /// More of both.
    pub(super) fn add(&mut self, other: Self) {
        self.canary.add(other.canary);
        self.primary.add(other.primary);
    }
}

/// What a bet is against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Null {
    /// The canary's rate is at most `ratio` times the primary's, which is unknown and may drift, plus `offset`.
    Relative {
        /// More than 0.
        ratio: f64,
        /// 0 or more.
        offset: f64,
    },
    /// The canary's rate is at most this; the primary does not matter.
    Fixed(f64),
}

impl Null {
    /// What a bet with this tilt wins with a block, as a logarithm. A relative null wants requests on an arm at least.
    ///
    /// With `A = w/q` and `B = 1/q`, `r n_c (A-1) + n_p (B-1) = 0`, so the expectation of `A^x_c B^x_p exp(-d n_c )`
    /// is at most 1 for every rate of the primary, as `1+u <= e^u`. Conditioning on the total takes the rate out
    /// (Lindon and Malek, Anytime-Valid Inference for Multinomial Count Data, arXiv 2011.03567).
    fn gain(self, tilt: f64, block: &Block) -> f64 {
        let Block { canary, primary } = block;
        match self {
            Self::Relative { ratio, offset } => {
                let share = canary.requests * ratio / (canary.requests * ratio + primary.requests);
                let q = 1.0 + share * (tilt - 1.0);
                canary.events * tilt.ln()
                    - (canary.events + primary.events) * q.ln()
                    - offset * canary.requests * (tilt / q - 1.0)
            }
            Self::Fixed(limit) => {
                canary.events * tilt.ln() - canary.requests * (limit * (tilt - 1.0)).ln_1p()
            }
        }
    }
}

/// Bets that the canary is worse: log-capitals of the tilts, and of the cash.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    capital: [f64; 7],
    updates: u32,
    /// How many blocks in a row met the cap.
    capped: u32,
}

impl Default for Harm {
    fn default() -> Self {
        Self { capital: Self::prior(), updates: 0, capped: 0 }
    }
}

impl Harm {
    fn prior() -> [f64; 7] {
        let mut prior = [((1.0 - CASH) / 6.0).ln(); 7];
        prior[WORSE.len()] = CASH.ln();
        prior
    }

    /// Takes a block in.
    pub fn update(&mut self, null: Null, block: &Block) {
        add(&mut self.capital, WORSE.map(|tilt| null.gain(tilt, block)), &mut self.capped);
        self.updates = self.updates.saturating_add(1);
        let part = 1.0 / (f64::from(self.updates) + SHARE);
        let (given, kept) = (part.ln() + self.wealth(), (-part).ln_1p());
        for (capital, prior) in self.capital.iter_mut().zip(Self::prior()) {
            *capital = log_sum(&[*capital + kept, given + prior]);
        }
    }

    /// The logarithm of the whole capital: the evidence, which began at 0.
    pub fn wealth(&self) -> f64 {
        log_sum(&self.capital)
    }

    /// The log-capital of each tilt, and of the cash.
    pub fn capital(&self) -> &[f64] {
        &self.capital
    }
}

/// Bets that the canary is not as bad as a margin: log-capitals of the tilts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    capital: [f64; 5],
    /// How many blocks in a row met the cap.
    capped: u32,
}

impl Default for Safety {
    fn default() -> Self {
        Self { capital: FINE.map(|_| 0.2_f64.ln()), capped: 0 }
    }
}

impl Safety {
    /// Takes a block in. The null is the other way round here: the rate is at least the margin.
    pub fn update(&mut self, null: Null, block: &Block) {
        add(&mut self.capital, FINE.map(|tilt| null.gain(tilt, block)), &mut self.capped);
    }

    /// The logarithm of the whole capital: the evidence, which began at 0.
    pub fn wealth(&self) -> f64 {
        log_sum(&self.capital)
    }

    /// The log-capital of each tilt.
    pub fn capital(&self) -> &[f64] {
        &self.capital
    }
}

/// Adds what each bet wins, up to the cap. Losses have none.
fn add<const N: usize>(capital: &mut [f64], gains: [f64; N], capped: &mut u32) {
    let cap = CAP * f64::from(1_u32 << (*capped).min(CAP_DOUBLINGS));
    for (capital, gain) in capital.iter_mut().zip(gains) {
        *capital += gain.min(cap);
    }
    *capped = if gains.iter().any(|gain| *gain > cap) { capped.saturating_add(1) } else { 0 };
}

/// The logarithm of a sum, of logarithms; the largest is taken out, so that nothing overflows.
pub(super) fn log_sum(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + logs.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}
