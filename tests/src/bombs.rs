//! Components that are too big to keep, or small and meant to explode in whoever reads or compiles them.
//!
//! All are made from a good component by appending sections, so that they have the world, version and imports
//! of a plugin and are refused for nothing else.

/// Sections of a component.
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;
const COMPONENT: u8 = 4;

/// Most local variables that WebAssembly allows a function.
const LOCALS: usize = 50_000;

/// The same plugin with another digest.
#[must_use]
pub fn distinct(component: &[u8], number: u64) -> Vec<u8> {
    let name = b"distinct";
    let content = [&[8], &name[..], &number.to_le_bytes()].concat();
    appended(component, CUSTOM, &content)
}

/// The same plugin with so many bytes of nothing in it.
#[must_use]
pub fn padded(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    content[..5].copy_from_slice(b"\x04fill");
    appended(component, CUSTOM, &content)
}

/// Many functions of a few bytes with as many local variables as are allowed: each costs the compiler ten
/// thousand times its size.
#[must_use]
pub fn locals(component: &[u8], functions: usize) -> Vec<u8> {
    // One group of LOCALS variables of type i64; the last one is read and dropped.
    let mut body = vec![1];
    number(&mut body, LOCALS);
    body.extend([0x7e, 0x20]);
    number(&mut body, LOCALS - 1);
    body.extend([0x1a, 0x0b]);
    with_module(component, &module(&vec![body; functions]), 1)
}

/// Functions whose only instruction jumps to one of very many places.
#[must_use]
pub fn jumps(component: &[u8], functions: usize, targets: usize) -> Vec<u8> {
    // No locals; i32.const 0; br_table with targets, all of them the function's end.
    let mut body = vec![0, 0x41, 0, 0x0e];
    number(&mut body, targets);
    body.extend(std::iter::repeat_n(0, targets + 1));
    body.push(0x0b);
    with_module(component, &module(&vec![body; functions]), 1)
}

/// One function with so many blocks inside each other.
#[must_use]
pub fn nested_blocks(component: &[u8], depth: usize) -> Vec<u8> {
    let mut body = vec![0];
    body.extend([0x02, 0x40].repeat(depth));
    body.extend(std::iter::repeat_n(0x0b, depth + 1));
    with_module(component, &module(&[body]), 1)
}

/// A module with so many functions that add constants: plenty of honest work.
#[must_use]
pub fn plenty(component: &[u8], functions: usize) -> Vec<u8> {
    // i64.const 1, then a thousand times: i64.const 3, i64.rem_u; drop.
    let mut body = vec![0, 0x42, 1];
    body.extend([0x42, 3, 0x82].repeat(1_000));
    body.extend([0x1a, 0x0b]);
    with_module(component, &module(&vec![body; functions]), 1)
}

/// So many instances of an empty module beside the plugin's own.
#[must_use]
pub fn instances(component: &[u8], count: usize) -> Vec<u8> {
    with_module(component, &module(&[]), count)
}

/// So many components inside each other, beside the plugin's own.
#[must_use]
pub fn nested_components(component: &[u8], depth: usize) -> Vec<u8> {
    let header = &component[..8];
    let inner = (0..depth).fold(header.to_vec(), |inner, _| appended(header, COMPONENT, &inner));
    appended(component, COMPONENT, &inner)
}

/// A core module of functions without arguments and results.
fn module(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut functions = Vec::new();
    number(&mut functions, bodies.len());
    functions.extend(std::iter::repeat_n(0, bodies.len()));
    let mut code = Vec::new();
    number(&mut code, bodies.len());
    for body in bodies {
        number(&mut code, body.len());
        code.extend(body);
    }
    // One type: a function from nothing to nothing.
    let module = appended(b"\0asm\x01\0\0\0", 1, &[1, 0x60, 0, 0]);
    appended(&appended(&module, 3, &functions), 10, &code)
}

/// Appends a module, and so many instances of it.
fn with_module(component: &[u8], module: &[u8], instances: usize) -> Vec<u8> {
    let index = sections(component).filter(|section| *section == CORE_MODULE).count();
    let mut instantiated = Vec::new();
    number(&mut instantiated, instances);
    for _ in 0..instances {
        // Instantiates the module without arguments.
        instantiated.push(0);
        number(&mut instantiated, index);
        instantiated.push(0);
    }
    appended(&appended(component, CORE_MODULE, module), CORE_INSTANCE, &instantiated)
}

/// Kinds of a component's own sections.
fn sections(component: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = &component[8..];
    std::iter::from_fn(move || {
        let (kind, after) = rest.split_first()?;
        let digits = after.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let size = after[..digits].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        rest = &after[digits + size..];
        Some(*kind)
    })
}

fn appended(bytes: &[u8], section: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.push(section);
    number(&mut bytes, content.len());
    bytes.extend_from_slice(content);
    bytes
}

/// Appends a number as LEB128.
fn number(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
