//! Values drawn from the bytes of an input, which end in zeros.

/// The bytes of an input, from the first to the last.
pub(super) struct Draw<'a>(std::slice::Iter<'a, u8>);

impl<'a> Draw<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    /// The next byte; 0 when there is none.
    pub(super) fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    /// Whether there are bytes left.
    pub(super) fn goes_on(&self) -> bool {
        self.0.len() > 0
    }

    /// The next eight bytes as a number.
    pub(super) fn wide(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Whatever text the next bytes are, mostly short.
    pub(super) fn text(&mut self) -> String {
        let length = match self.byte() {
            // Long enough for every limit on texts.
            255 => usize::from(self.byte()) * 40,
            length => usize::from(length % 32),
        };
        let bytes: Vec<u8> = (0..length).map(|_| self.byte()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
