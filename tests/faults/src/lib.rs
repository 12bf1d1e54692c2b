//! A Vulkan layer that makes calls fail, for tests of what moodshader then does.
//!
//! The Vulkan loader puts it between a program and the driver where `VK_LAYER_PATH` names the folder
//! of its manifest ([`manifest`]) and `VK_INSTANCE_LAYERS` its name ([`NAME`]). It passes every call
//! on but the one that [`FAULT`] names, and counts them where [`COUNTS`] asks for that. Of a call it
//! knows no more than that it returns a `VkResult` and takes at most six arguments in registers for
//! integers; so they are passed on as they come.

use std::env;
use std::ffi::{CStr, c_char, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::mem::transmute;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// The layer's name.
pub const NAME: &str = "VK_LAYER_MOODSHADER_faults";

/// The environment variable that says which call fails and how: `FUNCTION:N:RESULT`. `N` counts from
/// 0; of the results, [`LOST`] lasts: whatever waits for the device fails from then on.
pub const FAULT: &str = "MOODSHADER_VULKAN_FAULT";

/// The environment variable that names a file, to which each call appends a line: its function.
pub const COUNTS: &str = "MOODSHADER_VULKAN_COUNTS";

/// `VK_ERROR_OUT_OF_DEVICE_MEMORY`
pub const FULL: i32 = -2;
/// `VK_ERROR_DEVICE_LOST`
pub const LOST: i32 = -4;

/// A function whose type only its name tells.
type Function = unsafe extern "system" fn();
type GetProcAddr = unsafe extern "system" fn(*mut c_void, *const c_char) -> Option<Function>;
/// A function of [`FUNCTIONS`], as far as the layer knows.
type Call = unsafe extern "system" fn(usize, usize, usize, usize, usize, usize) -> i32;

macro_rules! functions {
    ($($index:literal $name:literal)*) => {
        /// What may fail, without the suffix of an extension.
        pub const FUNCTIONS: &[&str] = &[$($name),*];
        const CALLS: &[Call] = &[$(call::<$index>),*];
        static NEXT: [AtomicPtr<c_void>; FUNCTIONS.len()] =
            [const { AtomicPtr::new(null_mut()) }; FUNCTIONS.len()];
        static COUNT: [AtomicUsize; FUNCTIONS.len()] =
            [const { AtomicUsize::new(0) }; FUNCTIONS.len()];
    };
}

functions! {
    0 "vkAllocateCommandBuffers"
    1 "vkAllocateDescriptorSets"
    2 "vkAllocateMemory"
    3 "vkBeginCommandBuffer"
    4 "vkBindBufferMemory"
    5 "vkBindImageMemory"
    6 "vkCreateBuffer"
    7 "vkCreateCommandPool"
    8 "vkCreateComputePipelines"
    9 "vkCreateDescriptorPool"
    10 "vkCreateDescriptorSetLayout"
    11 "vkCreateDevice"
    12 "vkCreateFence"
    13 "vkCreateImage"
    14 "vkCreateImageView"
    15 "vkCreatePipelineLayout"
    16 "vkCreateQueryPool"
    17 "vkCreateSampler"
    18 "vkCreateSemaphore"
    19 "vkCreateShaderModule"
    20 "vkEndCommandBuffer"
    21 "vkFlushMappedMemoryRanges"
    22 "vkGetFenceStatus"
    23 "vkGetSemaphoreCounterValue"
    24 "vkInvalidateMappedMemoryRanges"
    25 "vkMapMemory"
    26 "vkQueueSubmit"
    27 "vkQueueWaitIdle"
    28 "vkResetCommandPool"
    29 "vkResetFences"
    30 "vkWaitForFences"
    31 "vkWaitSemaphores"
}

/// Calls that say so once a device is lost.
const TELL_LOSS: [&str; 6] = [
    "vkGetFenceStatus",
    "vkGetSemaphoreCounterValue",
    "vkQueueSubmit",
    "vkQueueWaitIdle",
    "vkWaitForFences",
    "vkWaitSemaphores",
];

/// The loader's manifest of the layer in the file at `library`.
pub fn manifest(library: &Path) -> String {
    format!(
        r#"{{"file_format_version": "1.1.2", "layer": {{"name": "{NAME}", "type": "INSTANCE",
            "library_path": "{}", "api_version": "1.3.0", "implementation_version": "1",
            "description": "makes calls fail"}}}}"#,
        library.display()
    )
}

/// What [`FAULT`] says.
struct Fault {
    function: String,
    at: usize,
    result: i32,
}

static WANTED: LazyLock<Option<Fault>> = LazyLock::new(|| {
    let text = env::var(FAULT).ok()?;
    let mut words = text.split(':');
    Some(Fault {
        function: words.next()?.to_owned(),
        at: words.next()?.parse().ok()?,
        result: words.next()?.parse().ok()?,
    })
});

static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Counts a call; what it is to return instead of being passed on.
fn fault(index: usize) -> Option<i32> {
    let name = FUNCTIONS[index];
    if let Some(mut file) = env::var_os(COUNTS)
        .and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok())
    {
        let _ = file.write_all(format!("{name}\n").as_bytes());
    }
    let at = COUNT[index].fetch_add(1, Ordering::SeqCst);
    if let Some(wanted) = &*WANTED
        && (&*wanted.function, wanted.at) == (name, at)
    {
        IS_LOST.fetch_or(wanted.result == LOST, Ordering::SeqCst);
        return Some(wanted.result);
    }
    (IS_LOST.load(Ordering::SeqCst) && TELL_LOSS.contains(&name)).then_some(LOST)
}

unsafe extern "system" fn call<const INDEX: usize>(
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> i32 {
    fault(INDEX).unwrap_or_else(|| {
        let next = NEXT[INDEX].load(Ordering::SeqCst);
        // SAFETY: `replaced` put it there before it handed this function out.
        unsafe { transmute::<*mut c_void, Call>(next)(a, b, c, d, e, f) }
    })
}

/// The layer's function in the place of `next`, where it has one of that name.
fn replaced(name: &str, next: Option<Function>) -> Option<Function> {
    let bare = name.strip_suffix("KHR").unwrap_or(name);
    match FUNCTIONS.iter().position(|known| *known == bare) {
        Some(index) if next.is_some() => {
            NEXT[index].store(next? as *mut c_void, Ordering::SeqCst);
            // SAFETY: whoever calls it gives it back the type that belongs to the name.
            Some(unsafe { transmute::<Call, Function>(CALLS[index]) })
        }
        _ => next,
    }
}

/// The beginning of any structure in a `pNext` chain.
#[repr(C)]
struct Header {
    kind: i32,
    next: *mut c_void,
}

/// `VkLayerInstanceCreateInfo` and `VkLayerDeviceCreateInfo` of vk_layer.h, alike so far.
#[repr(C)]
struct LayerCreateInfo {
    header: Header,
    /// `VK_LAYER_LINK_INFO` is 0.
    function: i32,
    link: *mut Link,
}

/// `VkLayerInstanceLink` and `VkLayerDeviceLink`: the next layer, or the driver.
#[repr(C)]
struct Link {
    next: *mut Link,
    instance_proc: GetProcAddr,
    /// Of a device; of an instance, a function that is not needed.
    device_proc: GetProcAddr,
}

/// `VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO`
const INSTANCE_LINK: i32 = 47;
/// `VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO`
const DEVICE_LINK: i32 = 48;

/// Takes this layer's link out of the chain.
///
/// # Safety
/// `info` is what the loader gave to `vkCreateInstance` or `vkCreateDevice`.
unsafe fn take_link(info: *const Header, kind: i32) -> *mut Link {
    // SAFETY: the loader's chain is as vk_layer.h says.
    unsafe {
        let mut at = (*info).next.cast::<Header>();
        while !at.is_null() {
            let layer = at.cast::<LayerCreateInfo>();
            if (*at).kind == kind && (*layer).function == 0 {
                let link = (*layer).link;
                (*layer).link = (*link).next;
                return link;
            }
            at = (*at).next.cast();
        }
        panic!("the loader gives every layer a link")
    }
}

static INSTANCE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static INSTANCE_PROC: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static DEVICE_PROC: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

type Create3 = unsafe extern "system" fn(*const Header, *const c_void, *mut *mut c_void) -> i32;
type Create4 =
    unsafe extern "system" fn(*mut c_void, *const Header, *const c_void, *mut *mut c_void) -> i32;

unsafe extern "system" fn create_instance(
    info: *const Header,
    allocator: *const c_void,
    instance: *mut *mut c_void,
) -> i32 {
    // SAFETY: the loader calls it with what it would give to `vkCreateInstance`.
    unsafe {
        let proc = (*take_link(info, INSTANCE_LINK)).instance_proc;
        INSTANCE_PROC.store(proc as *mut c_void, Ordering::SeqCst);
        let Some(create) = proc(null_mut(), c"vkCreateInstance".as_ptr()) else { return -3 };
        let result = transmute::<Function, Create3>(create)(info, allocator, instance);
        INSTANCE.store(*instance, Ordering::SeqCst);
        result
    }
}

unsafe extern "system" fn create_device(
    adapter: *mut c_void,
    info: *const Header,
    allocator: *const c_void,
    device: *mut *mut c_void,
) -> i32 {
    let index = FUNCTIONS.iter().position(|name| *name == "vkCreateDevice");
    if let Some(result) = index.and_then(fault) {
        return result;
    }
    // SAFETY: the loader calls it with what it would give to `vkCreateDevice`.
    unsafe {
        let link = take_link(info, DEVICE_LINK);
        DEVICE_PROC.store((*link).device_proc as *mut c_void, Ordering::SeqCst);
        let instance = INSTANCE.load(Ordering::SeqCst);
        let create = ((*link).instance_proc)(instance, c"vkCreateDevice".as_ptr());
        let Some(create) = create else { return -3 };
        transmute::<Function, Create4>(create)(adapter, info, allocator, device)
    }
}

unsafe extern "system" fn instance_proc(
    instance: *mut c_void,
    name: *const c_char,
) -> Option<Function> {
    // SAFETY: names are C strings, and `create_instance` has set the next layer's function.
    unsafe {
        let own = match CStr::from_ptr(name).to_str() {
            Ok("vkGetInstanceProcAddr") => instance_proc as *mut c_void,
            Ok("vkGetDeviceProcAddr") => device_proc as *mut c_void,
            Ok("vkCreateInstance") => create_instance as *mut c_void,
            Ok("vkCreateDevice") => create_device as *mut c_void,
            _ => {
                let next = INSTANCE_PROC.load(Ordering::SeqCst);
                if next.is_null() {
                    return None;
                }
                return transmute::<*mut c_void, GetProcAddr>(next)(instance, name);
            }
        };
        Some(transmute::<*mut c_void, Function>(own))
    }
}

unsafe extern "system" fn device_proc(
    device: *mut c_void,
    name: *const c_char,
) -> Option<Function> {
    // SAFETY: names are C strings, and `create_device` has set the next layer's function.
    unsafe {
        let text = CStr::from_ptr(name).to_str().unwrap_or_default();
        if text == "vkGetDeviceProcAddr" {
            return Some(transmute::<*mut c_void, Function>(device_proc as *mut c_void));
        }
        let next = DEVICE_PROC.load(Ordering::SeqCst);
        replaced(text, transmute::<*mut c_void, GetProcAddr>(next)(device, name))
    }
}

/// `VkNegotiateLayerInterface` of vk_layer.h.
#[repr(C)]
pub struct Negotiation {
    header: Header,
    version: u32,
    instance_proc: Option<GetProcAddr>,
    device_proc: Option<GetProcAddr>,
    adapter_proc: Option<GetProcAddr>,
}

/// What the loader calls first.
///
/// # Safety
/// Only the loader knows what to give.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(
    negotiation: *mut Negotiation,
) -> i32 {
    // SAFETY: the loader gives a structure of this type.
    let negotiation = unsafe { &mut *negotiation };
    negotiation.version = negotiation.version.min(2);
    negotiation.instance_proc = Some(instance_proc);
    negotiation.device_proc = Some(device_proc);
    negotiation.adapter_proc = None;
    0
}
