//! Panics of the libraries below, caught.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught, and so prints nothing.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Does what may panic though it should not, and returns the panic's message instead. Nothing is
/// printed, as it is for panics that nobody catches; threads that `work` starts are not covered.
///
/// What `work` was changing may be left half changed: it must not be used any more.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                print(panic);
            }
        }));
    });
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    result.map_err(message)
}

fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => {
            panic.downcast::<&str>().map_or_else(|_| String::new(), |text| (*text).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_becomes_its_message_and_the_rest_a_value() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("as it {}", "is") }), Err("as it is".to_owned()));
        assert_eq!(caught(|| -> u8 { panic!("plain") }), Err("plain".to_owned()));
        // Inside another, and after it: the outer one still catches without a word.
        let nested = caught(|| {
            let inner = caught(|| -> u8 { panic!("inner") });
            assert_eq!(inner, Err("inner".to_owned()));
            panic!("outer");
        });
        assert_eq!(nested, Err::<(), _>("outer".to_owned()));
    }
}
