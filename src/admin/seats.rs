//! How many event streams are open at once: an end of all of them, and of those of one reader, so that nobody takes the
//! seats of all others.

use super::access::Caller;
use super::problem::Problem;
use axum::http::{StatusCode, header};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch as signal;

/// Streams at once. A browser has one for each page that can be seen.
pub(super) const SEATS: usize = 256;
/// Of them those of one reader.
const OF_ONE: usize = 32;
/// After how many seconds to ask again.
const AGAIN: u64 = 5;

/// Whose a seat is: that of a name among the tokens, or where nobody has to say who they are, of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Name(Arc<str>),
    Address(IpAddr),
}

/// Who has how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(signal::Sender<BTreeMap<Holder, usize>>);

/// One of them, as long as it lives.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    holder: Holder,
}

impl Seats {
    /// A seat, if there is one left for this reader.
    pub(super) fn take(&self, caller: &Caller) -> Result<Seat, Problem> {
        let holder = match caller {
            Caller::Nobody(address) => Holder::Address(*address),
            Caller::Known(identity, _) => Holder::Name(Arc::clone(&identity.name)),
        };
        let mut outcome = Ok(());
        self.0.send_modify(|taken| {
            outcome = sit(taken, &holder);
        });
        outcome
            .map(|()| Seat { seats: self.clone(), holder })
            .map_err(|(status, why)| Problem::new(status, why).with(header::RETRY_AFTER, AGAIN))
    }
}

fn sit(taken: &mut BTreeMap<Holder, usize>, holder: &Holder) -> Result<(), (StatusCode, String)> {
    let own = taken.get(holder).copied().unwrap_or(0);
    if own >= OF_ONE {
        let who = match holder {
            Holder::Name(name) => format!("{name} has"),
            Holder::Address(_) => "this machine has".to_owned(),
        };
        let why = format!(
            "{who} {own} streams open, as many as one may have; when one is closed, there is a place again"
        );
        return Err((StatusCode::TOO_MANY_REQUESTS, why));
    }
    if taken.values().sum::<usize>() >= SEATS {
        let why = format!(
            "{SEATS} streams are open, as many as there can be; when one is closed, there is a place again"
        );
        return Err((StatusCode::SERVICE_UNAVAILABLE, why));
    }
    taken.insert(holder.clone(), own + 1);
    Ok(())
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.0.send_modify(|taken| {
            if let Some(own) = taken.get_mut(&self.holder) {
                *own -= 1;
            }
            taken.retain(|_, own| *own > 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_seats_of_all_others() {
        let seats = Seats::default();
        let from = |last: u8| Caller::Nobody(IpAddr::from([127, 0, 0, last]));
        let status = |caller: &Caller| seats.take(caller).map(drop).map_err(|problem| problem.status);
        let mut of_one: Vec<Seat> = (0..OF_ONE).map(|_| seats.take(&from(1)).unwrap()).collect();
        assert_eq!(status(&from(1)), Err(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(status(&from(2)), Ok(()));
        let others: Vec<Seat> = (OF_ONE..SEATS)
            .map(|i| seats.take(&from(u8::try_from(2 + i / OF_ONE).unwrap())).unwrap())
            .collect();
        assert_eq!(status(&from(2)), Err(StatusCode::SERVICE_UNAVAILABLE));
        of_one.pop();
        assert_eq!((status(&from(2)), status(&from(1))), (Ok(()), Ok(())));
        drop((of_one, others));
        assert!(seats.0.borrow().is_empty(), "nobody is remembered who has none");
    }
}
