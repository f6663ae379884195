//! Every interleaving of threads that publish, hush and take: no wake-up is lost, and none is repeated.
//!
//!     cargo test --no-default-features --features loom --test loom_handover --release

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use session_service_engine::handover::{Handover, Wake};

/// A descriptor as loom sees it.
#[derive(Default)]
struct Descriptor {
    tokens: Mutex<u32>,
    raised: Condvar,
}

impl Descriptor {
    /// A sleep that nothing ends is a deadlock, which loom reports.
    fn sleep(&self) {
        let mut tokens = self.tokens.lock().unwrap();
        while *tokens == 0 {
            tokens = self.raised.wait(tokens).unwrap();
        }
    }
}

struct Waker(Arc<Descriptor>);

impl Wake for Waker {
    fn wake(&self) {
        let mut tokens = self.0.tokens.lock().unwrap();
        assert_eq!(*tokens, 0, "one wake-up is pending at a time");
        *tokens += 1;
        self.0.raised.notify_one();
    }

    fn drain(&self) {
        let mut tokens = self.0.tokens.lock().unwrap();
        // A descriptor that does not block: nothing to read would be an error.
        assert_eq!(*tokens, 1);
        *tokens = 0;
    }
}

fn handover() -> (Arc<Handover<u32, Waker>>, Arc<Descriptor>) {
    let descriptor = Arc::new(Descriptor::default());
    (Arc::new(Handover::with(Waker(descriptor.clone()))), descriptor)
}

fn publisher(handover: &Arc<Handover<u32, Waker>>, items: &'static [u32]) -> thread::JoinHandle<()> {
    let handover = handover.clone();
    thread::spawn(move || {
        for &item in items {
            handover.publish(&mut vec![item]);
        }
    })
}

/// Three items by two threads, for a taker who sleeps and then takes in this way.
fn model_of_taking(take: fn(&Handover<u32, Waker>) -> Vec<u32>) {
    loom::model(move || {
        let (handover, descriptor) = handover();
        let publishers = [publisher(&handover, &[1, 2]), publisher(&handover, &[3])];
        let mut taken = Vec::new();
        while taken.len() < 3 {
            descriptor.sleep();
            taken.extend(take(&handover));
        }
        for each in publishers {
            each.join().unwrap();
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3]);
    });
}

#[test]
fn whoever_sleeps_after_a_take_is_woken_by_what_comes() {
    model_of_taking(|handover| handover.take(false));
}

#[test]
fn what_is_published_while_hushed_is_taken_and_what_comes_later_wakes() {
    model_of_taking(|handover| {
        handover.hush();
        handover.take(false)
    });
}

#[test]
fn whoever_takes_hushed_until_nothing_waits_is_woken_by_what_comes() {
    model_of_taking(|handover| {
        let mut taken = handover.take(true);
        while !handover.quiet() {
            taken.extend(handover.take(true));
        }
        taken
    });
}

#[test]
fn a_hush_before_anything_waits_loses_nothing() {
    loom::model(|| {
        let (handover, descriptor) = handover();
        let publisher = publisher(&handover, &[1, 2]);
        handover.hush();
        let mut taken = handover.take(false);
        while taken.len() < 2 {
            descriptor.sleep();
            taken.extend(handover.take(false));
        }
        publisher.join().unwrap();
        assert_eq!(taken, [1, 2]);
    });
}
