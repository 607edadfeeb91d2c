//! Reads the few fields that matter of `envoy.service.metrics.v3.StreamMetricsMessage` where they are.
//!
//! Envoys send thousands of families each second, most of them with a hundred buckets of which few are filled.
//! Decoding them to objects would cost many times more than looking at them. The form is that of
//! <https://protobuf.dev/programming-guides/encoding>; the field numbers are those of `metrics_service.proto` and of
//! Prometheus' `metrics.proto`.

/// These bytes are no message of the metrics service, or have a number that no statistic can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of Envoy's metrics service")]
pub struct Malformed;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
    /// Of a wire type that no field of ours has.
    Other,
}

/// The fields of a message, in their order.
#[derive(Clone, Debug)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.varint()?;
        Ok((key >> 3, self.value(key & 7)?))
    }

    /// A value of this wire type.
    #[inline]
    fn value(&mut self, wire: u64) -> Result<Value<'a>, Malformed> {
        match wire {
            0 => self.varint().map(Value::Varint),
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| Malformed)?;
                Ok(Value::Double(f64::from_le_bytes(bytes)))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                self.take(length).map(Value::Bytes)
            }
            3 => self.group(),
            5 => self.take(4).map(|_| Value::Other),
            _ => Err(Malformed),
        }
    }

    /// The rest of a group. No version of these messages has any, but a field that is not known may be one.
    fn group(&mut self) -> Result<Value<'a>, Malformed> {
        let mut open = 1_u64;
        while open > 0 {
            match self.varint()? & 7 {
                3 => open += 1,
                4 => open -= 1,
                wire => _ = self.value(wire)?,
            }
        }
        Ok(Value::Other)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Who sends: `node.id`. Only the first message of a stream says it.
pub(super) fn node_id(message: &[u8]) -> Result<Option<String>, Malformed> {
    let Some(identifier) = first(message, 1)? else { return Ok(None) };
    let Some(node) = first(identifier, 1)? else { return Ok(None) };
    Ok(first(node, 1)?.map(|id| String::from_utf8_lossy(id).into_owned()))
}

/// The first field of this number that holds text or a message.
fn first(message: &[u8], number: u64) -> Result<Option<&[u8]>, Malformed> {
    for field in Fields(message) {
        match field? {
            (n, Value::Bytes(bytes)) if n == number => return Ok(Some(bytes)),
            _ => {}
        }
    }
    Ok(None)
}

/// One value of one statistic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Metric<'a> {
    /// As Envoy calls it: `cluster.fraud/v1.upstream_rq_total`.
    pub(super) name: &'a [u8],
    /// When the flush began that it belongs to, in milliseconds by Envoy's clock.
    pub(super) flush: u64,
    pub(super) reading: Reading<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading<'a> {
    Counter(f64),
    Gauge(f64),
    Histogram(Buckets<'a>),
    /// Of a kind that we do not ask for.
    Other,
}

/// A histogram as Envoy sends it: for each bound how many were not above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Buckets<'a> {
    /// All, those above the last bound included.
    pub(super) samples: u64,
    message: &'a [u8],
}

impl Buckets<'_> {
    /// Bounds and how many were not above them, in ascending order. `false` from `visit` ends it.
    pub(super) fn each(&self, mut visit: impl FnMut(f64, u64) -> bool) -> Result<(), Malformed> {
        for field in Fields(self.message) {
            let (3, Value::Bytes(bucket)) = field? else { continue };
            let (mut bound, mut count) = (0.0, 0);
            for part in Fields(bucket) {
                match part? {
                    (1, Value::Varint(n)) => count = n,
                    (2, Value::Double(b)) => bound = b,
                    _ => {}
                }
            }
            if !visit(bound, count) {
                break;
            }
        }
        Ok(())
    }
}

/// Visits every metric of a message; says how many families there were.
pub(super) fn read<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(Metric<'a>) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    let mut families = 0;
    for field in Fields(message) {
        let (2, Value::Bytes(family)) = field? else { continue };
        families += 1;
        let mut name: &[u8] = &[];
        for field in Fields(family) {
            match field? {
                (1, Value::Bytes(text)) => name = text,
                (4, Value::Bytes(metric)) => visit(metric_of(name, metric)?)?,
                _ => {}
            }
        }
    }
    Ok(families)
}

fn metric_of<'a>(name: &'a [u8], message: &'a [u8]) -> Result<Metric<'a>, Malformed> {
    let mut metric = Metric { name, flush: 0, reading: Reading::Other };
    for field in Fields(message) {
        match field? {
            (2, Value::Bytes(gauge)) => metric.reading = Reading::Gauge(number(gauge)?),
            (3, Value::Bytes(counter)) => metric.reading = Reading::Counter(number(counter)?),
            (6, Value::Varint(time)) => metric.flush = time,
            (7, Value::Bytes(histogram)) => metric.reading = Reading::Histogram(buckets(histogram)?),
            _ => {}
        }
    }
    Ok(metric)
}

/// The value of a counter or of a gauge. Envoy counts whole things, never less than none.
fn number(message: &[u8]) -> Result<f64, Malformed> {
    let mut number = 0.0;
    for field in Fields(message) {
        if let (1, Value::Double(value)) = field? {
            number = value;
        }
    }
    if number.is_finite() && number >= 0.0 { Ok(number) } else { Err(Malformed) }
}

fn buckets(message: &[u8]) -> Result<Buckets<'_>, Malformed> {
    let mut samples = 0;
    for field in Fields(message) {
        match field? {
            (1, Value::Varint(count)) => {
                samples = count;
                // It stands before the buckets, and without samples those are of no interest.
                if samples == 0 {
                    break;
                }
            }
            (3, _) => break,
            _ => {}
        }
    }
    Ok(Buckets { samples, message })
}

#[cfg(test)]
mod tests;
