/// Makes a module of a [`Projection`](crate::Projection). What it can do beyond applying events
/// follows its name; only then the module exports it:
///
/// ```ignore
/// gnomon::projection!(Balances);
/// gnomon::projection!(Balances: Query);
/// gnomon::projection!(Sessions: Query + Snapshot + Migrate);
/// ```
#[macro_export]
macro_rules! projection {
    ($type:ty $(: $first:ident $(+ $part:ident)*)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: $crate::guest::Instance<$type> = const { ::std::cell::RefCell::new(None) };
            }
            #[no_mangle]
            extern "C" fn init() -> i32 {
                INSTANCE.with($crate::guest::init)
            }
            #[no_mangle]
            extern "C" fn apply() -> i32 {
                INSTANCE.with($crate::guest::apply)
            }
            $(
                $crate::__export!($first);
                $($crate::__export!($part);)*
            )?
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = $crate::guest::check_projection::<$type>;
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (Query) => {
        #[no_mangle]
        extern "C" fn query() -> i32 {
            INSTANCE.with($crate::guest::query)
        }
    };
    (Snapshot) => {
        #[no_mangle]
        extern "C" fn snapshot() -> i32 {
            INSTANCE.with($crate::guest::snapshot)
        }
        #[no_mangle]
        extern "C" fn restore() -> i32 {
            INSTANCE.with($crate::guest::restore)
        }
    };
    (Migrate) => {
        #[no_mangle]
        extern "C" fn migrate(from: i32) -> i32 {
            INSTANCE.with(|instance| $crate::guest::migrate(instance, from))
        }
    };
    ($part:ident) => {
        ::core::compile_error!(::core::concat!("a projection can be Query, Snapshot and Migrate, not ", ::core::stringify!($part)));
    };
}

/// Makes a module of an [`Upcaster`](crate::Upcaster): `gnomon::upcaster!(Names);`.
#[macro_export]
macro_rules! upcaster {
    ($type:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: $crate::guest::Instance<$type> = const { ::std::cell::RefCell::new(None) };
            }
            #[no_mangle]
            extern "C" fn init() -> i32 {
                INSTANCE.with($crate::guest::init_upcaster)
            }
            #[no_mangle]
            extern "C" fn upcast() -> i32 {
                INSTANCE.with($crate::guest::upcast)
            }
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = $crate::guest::check_upcaster::<$type>;
    };
}
