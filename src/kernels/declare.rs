//! What the Rust side says about a kernel, once: its parameters and the tensors it binds.
//!
//! [`kernel!`] turns that into the uniform block, a struct to name tensors by when planning, and a
//! struct of slices for the CPU reference. A test reflects the WGSL with `naga` and compares.

use super::verify::{Case, Draw};
use super::{Real, Schedule};

/// How a kernel uses a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No element is written.
    Read,
    /// Read through a uniform binding of [`UNIFORM_WINDOW`] bytes, which adapters read faster where
    /// all threads want the same element: weights.
    Uniform,
    /// Every element is written, none is read.
    Write,
    /// Elements are read and written in place.
    Update,
    /// Sums that a schedule leaves in shares, one after the other; the formula speaks of their sum.
    /// None is read.
    Shares,
}

impl Access {
    /// Whether the tensor is only read.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Uniform)
    }
}

/// Bytes of a uniform binding: what WebGPU grants at least.
pub const UNIFORM_WINDOW: u64 = 1 << 16;

/// What a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Numbers.
    F32,
    /// Words: indices, masks, control.
    U32,
}

/// One tensor of a kernel. Its binding number is its place in the list + 1; 0 is the uniform block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// In the shader and in Rust.
    pub name: &'static str,
    /// What the kernel does to it.
    pub access: Access,
    /// What it holds.
    pub element: Element,
}

/// One member of a kernel's uniform block; all are 4 bytes wide and lie in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// In the shader and in Rust.
    pub name: &'static str,
    /// `u32` or `f32`.
    pub ty: &'static str,
}

/// What a uniform block is made of: a number, or a group of them.
pub trait Parameter: bytemuck::Pod + std::fmt::Debug {
    /// Its numbers in the order of the block. A number alone has the member's name.
    fn fields(name: &'static str) -> Vec<Field>;
}

impl Parameter for u32 {
    fn fields(name: &'static str) -> Vec<Field> {
        vec![Field { name, ty: "u32" }]
    }
}

impl Parameter for f32 {
    fn fields(name: &'static str) -> Vec<Field> {
        vec![Field { name, ty: "f32" }]
    }
}

/// One of the files that a kernel's source is joined of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Below `shaders/`, without its ending.
    pub path: &'static str,
    /// Its length.
    pub bytes: usize,
}

/// What one launch costs, for the bench and its predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations (a multiply-add is two), those on padding left out.
    pub flops: f64,
    /// Bytes that must cross the memory bus at least once.
    pub bytes: f64,
}

/// One argument of a CPU reference.
#[derive(Debug)]
pub enum Argument<'a, T> {
    /// Numbers to read.
    Read(&'a [T]),
    /// Numbers to write or update.
    Write(&'a mut [T]),
    /// Words to read.
    ReadWords(&'a [u32]),
    /// Words to write or update.
    WriteWords(&'a mut [u32]),
}

/// The part of a kernel that [`kernel!`] writes.
pub trait Declaration: Parameter + Send + Sync {
    /// One value for each tensor, by name.
    type Tensors<H>;
    /// The tensors' elements, by name.
    type Slices<'a, T: Real>;
    /// The shader's path without its ending.
    const ID: &'static str;
    /// WGSL: the kernel's own file, then the pieces.
    const SOURCE: &'static str;
    /// The files of the source, in this order.
    const FILES: &'static [File];
    /// In binding order, from 1.
    const BINDINGS: &'static [Binding];

    /// One value for all tensors.
    fn each<H: Clone>(value: H) -> Self::Tensors<H>;
    /// The values in binding order.
    fn in_order<H>(tensors: Self::Tensors<H>) -> Vec<H>;
    /// The arguments by name. They must come in binding order and of the declared kind.
    fn by_name<'a, T: Real>(arguments: Vec<Argument<'a, T>>) -> Self::Slices<'a, T>;
}

/// A kernel with its parameters fixed, as a formula: the part that is written by hand.
pub trait Kernel: Declaration {
    /// Ways to compute it; of those that run on an adapter, the first is taken. The last one runs
    /// everywhere.
    const SCHEDULES: &'static [Schedule<Self>];

    /// Elements of each tensor, and of one share where it holds [`Access::Shares`].
    fn lengths(&self) -> Self::Tensors<usize>;
    /// Operations and bytes of this launch.
    fn cost(&self) -> Cost;
    /// Steps that must follow one another inside the launch, each after a barrier: what bounds a
    /// recurrence on an adapter with room to spare.
    fn serial_steps(&self) -> u32 {
        1
    }
    /// Where in a [`Access::Uniform`] tensor the window of this launch begins, in elements: a
    /// multiple of 64.
    fn uniform_start(&self) -> usize {
        0
    }
    /// The definition: what every schedule must compute. Shares come as one, their sum.
    fn reference<T: Real>(&self, tensors: Self::Slices<'_, T>);
    /// How to draw the inputs of a verification case.
    fn draw(&self) -> Self::Tensors<Draw> {
        Self::each(Draw::NORMAL)
    }
    /// Shapes to verify at: minimal, odd, typical.
    fn cases() -> Vec<Case<Self>>;
}

/// [`Kernel`] behind a pointer.
pub trait AnyKernel: std::fmt::Debug + Send + Sync {
    /// [`Declaration::ID`].
    fn id(&self) -> &'static str;
    /// [`Declaration::BINDINGS`].
    fn bindings(&self) -> &'static [Binding];
    /// [`Kernel::lengths`], in binding order.
    fn lengths(&self) -> Vec<usize>;
    /// The uniform block.
    fn params(&self) -> &[u8];
    /// [`Parameter::fields`] of it.
    fn fields(&self) -> Vec<Field>;
    /// [`Kernel::cost`].
    fn cost(&self) -> Cost;
    /// [`Kernel::serial_steps`].
    fn serial_steps(&self) -> u32;
    /// [`Kernel::uniform_start`].
    fn uniform_start(&self) -> usize;
    /// [`Kernel::draw`], in binding order.
    fn draws(&self) -> Vec<Draw>;
    /// [`Kernel::reference`] on arguments in binding order.
    fn reference_f32(&self, arguments: Vec<Argument<'_, f32>>);
    /// [`Kernel::reference`] on arguments in binding order.
    fn reference_f64(&self, arguments: Vec<Argument<'_, f64>>);
}

impl<K: Kernel> AnyKernel for K {
    fn id(&self) -> &'static str {
        K::ID
    }
    fn bindings(&self) -> &'static [Binding] {
        K::BINDINGS
    }
    fn lengths(&self) -> Vec<usize> {
        K::in_order(Kernel::lengths(self))
    }
    fn params(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }
    fn fields(&self) -> Vec<Field> {
        K::fields("params")
    }
    fn cost(&self) -> Cost {
        Kernel::cost(self)
    }
    fn serial_steps(&self) -> u32 {
        Kernel::serial_steps(self)
    }
    fn uniform_start(&self) -> usize {
        Kernel::uniform_start(self)
    }
    fn draws(&self) -> Vec<Draw> {
        K::in_order(self.draw())
    }
    fn reference_f32(&self, arguments: Vec<Argument<'_, f32>>) {
        self.reference(K::by_name(arguments));
    }
    fn reference_f64(&self, arguments: Vec<Argument<'_, f64>>) {
        self.reference(K::by_name(arguments));
    }
}

/// Declares parameters that follow one another in uniform blocks: those of a kernel, or a group that
/// several kernels have. In WGSL, a group's members are the block's own.
macro_rules! parameters {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* pub $field:ident: $ty:ident),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)+
        }

        impl $crate::kernels::Parameter for $name {
            fn fields(_: &'static str) -> Vec<$crate::kernels::Field> {
                [$(<$ty as $crate::kernels::Parameter>::fields(stringify!($field)),)+].concat()
            }
        }
    };
}

/// Declares a kernel in the module of its own; see CONTRIBUTING.md.
///
/// ```ignore
/// kernel! {
///     "layers/sigmoid/forward",
///     pieces ["sigmoid"],
///     params {
///         /// Clips × moods.
///         elements: u32,
///     },
///     tensors {
///         /// \[elements\]
///         logits: read f32,
///         /// \[elements\]
///         probabilities: write f32,
///     },
/// }
/// ```
macro_rules! kernel {
    (
        $id:literal,
        $(pieces [$($piece:literal),+],)?
        params { $($(#[$field_doc:meta])* $field:ident: $ty:ident),+ $(,)? },
        tensors { $($(#[$tensor_doc:meta])* $tensor:ident: $access:ident $element:ident),+ $(,)? } $(,)?
    ) => {
        $crate::kernels::parameters! {
            /// The uniform block, and with it the launch.
            pub struct Params {
                $($(#[$field_doc])* pub $field: $ty,)+
            }
        }

        /// One value for each tensor.
        #[derive(Clone, Debug)]
        pub struct Tensors<H> {
            $($(#[$tensor_doc])* pub $tensor: H,)+
        }

        impl<H: Clone> Tensors<H> {
            /// The same value for every tensor.
            pub fn each(value: H) -> Self {
                Self { $($tensor: value.clone(),)+ }
            }
        }

        /// The tensors' elements, for the CPU reference.
        pub struct Slices<'a, T: $crate::kernels::Real> {
            $($(#[$tensor_doc])* pub $tensor: kernel!(@slice 'a T $access $element),)+
        }

        impl $crate::kernels::Declaration for Params {
            type Tensors<H> = Tensors<H>;
            type Slices<'a, T: $crate::kernels::Real> = Slices<'a, T>;
            const ID: &'static str = $id;
            const SOURCE: &'static str =
                concat!(kernel!(@text $id), $($(kernel!(@text concat!("pieces/", $piece)),)+)?);
            const FILES: &'static [$crate::kernels::File] = &[
                kernel!(@file $id),
                $($(kernel!(@file concat!("pieces/", $piece)),)+)?
            ];
            const BINDINGS: &'static [$crate::kernels::Binding] = &[
                $($crate::kernels::Binding {
                    name: stringify!($tensor),
                    access: kernel!(@access $access),
                    element: kernel!(@element $element),
                },)+
            ];

            fn each<H: Clone>(value: H) -> Tensors<H> {
                Tensors::each(value)
            }

            fn in_order<H>(tensors: Tensors<H>) -> Vec<H> {
                vec![$(tensors.$tensor,)+]
            }

            fn by_name<'a, T: $crate::kernels::Real>(
                arguments: Vec<$crate::kernels::Argument<'a, T>>,
            ) -> Slices<'a, T> {
                let mut arguments = arguments.into_iter();
                Slices {
                    $($tensor: match arguments.next() {
                        Some(kernel!(@pattern slice $access $element)) => slice,
                        other => unreachable!("{}: {} is {other:?}", $id, stringify!($tensor)),
                    },)+
                }
            }
        }
    };
    (@text $path:expr) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl"))
    };
    (@file $path:expr) => {
        $crate::kernels::File { path: $path, bytes: kernel!(@text $path).len() }
    };
    // A further schedule: of a file of its own, which may be the kernel's, with or without pieces.
    (@shader $name:literal, $file:literal, pieces [$($piece:literal),*], $runs_on:expr, $suits:expr) => {
        $crate::kernels::Shader {
            name: $name,
            source: concat!(kernel!(@text $file), $(kernel!(@text concat!("pieces/", $piece)),)*),
            files: &[kernel!(@file $file), $(kernel!(@file concat!("pieces/", $piece)),)*],
            runs_on: $runs_on,
            suits: $suits,
        }
    };
    (@slice $l:lifetime $t:ident read f32) => { &$l [$t] };
    (@slice $l:lifetime $t:ident uniform f32) => { &$l [$t] };
    (@slice $l:lifetime $t:ident read u32) => { &$l [u32] };
    (@slice $l:lifetime $t:ident $access:ident f32) => { &$l mut [$t] };
    (@slice $l:lifetime $t:ident $access:ident u32) => { &$l mut [u32] };
    (@access read) => { $crate::kernels::Access::Read };
    (@access uniform) => { $crate::kernels::Access::Uniform };
    (@access write) => { $crate::kernels::Access::Write };
    (@access update) => { $crate::kernels::Access::Update };
    (@access shares) => { $crate::kernels::Access::Shares };
    (@element f32) => { $crate::kernels::Element::F32 };
    (@element u32) => { $crate::kernels::Element::U32 };
    (@pattern $slice:ident read f32) => { $crate::kernels::Argument::Read($slice) };
    (@pattern $slice:ident uniform f32) => { $crate::kernels::Argument::Read($slice) };
    (@pattern $slice:ident read u32) => { $crate::kernels::Argument::ReadWords($slice) };
    (@pattern $slice:ident $access:ident f32) => { $crate::kernels::Argument::Write($slice) };
    (@pattern $slice:ident $access:ident u32) => { $crate::kernels::Argument::WriteWords($slice) };
}

pub(crate) use {kernel, parameters};
