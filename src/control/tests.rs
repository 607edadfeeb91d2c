//! Courses of events, played without a clock.
