//! The shapes of the answers we read, and a walk that checks an answer against its shape.
//!
//! The codec reserves room for as many elements as an array says it has, before it reads one: a
//! four-byte lie makes it ask for gigabytes, and a failed allocation ends the process. So each answer
//! is walked first, without allocating; then every count is known to be covered by bytes. Fields and
//! versions are those of Kafka's `clients/src/main/resources/common/message/*Response.json`.

/// What a field is.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// Text; may be null.
    Text,
    /// Bytes; may be null.
    Blob,
    /// An array of plain values of so many bytes; may be null.
    Values(usize),
    /// An array of texts.
    Texts,
    /// An array of structures; may be null.
    List(&'static [Field]),
    /// A structure, with tagged fields of its own where the message has them.
    Struct(&'static [Field]),
}

/// A field, present in versions `since..=until`.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub since: i16,
    pub until: i16,
    pub shape: Shape,
}

/// An answer: its fields, and the first version with compact lengths and tagged fields.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub flexible_since: i16,
    pub fields: &'static [Field],
}

/// The bytes are not of the shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("ends in the middle of a field")]
    Short,
    #[error("a length is negative")]
    NegativeLength,
    #[error("{0} bytes left over")]
    Trailing(usize),
}

const fn always(shape: Shape) -> Field {
    between(0, i16::MAX, shape)
}

const fn since(since: i16, shape: Shape) -> Field {
    between(since, i16::MAX, shape)
}

const fn between(since: i16, until: i16, shape: Shape) -> Field {
    Field {
        since,
        until,
        shape,
    }
}

use Shape::{Blob, Fixed, List, Struct, Text, Texts, Values};

/// ApiVersionsResponse, read at most in version 2, which has no tagged fields.
pub const API_VERSIONS: Answer = Answer {
    flexible_since: 3,
    fields: &[
        always(Fixed(2)),
        always(List(&[
            always(Fixed(2)),
            always(Fixed(2)),
            always(Fixed(2)),
        ])),
        since(1, Fixed(4)),
    ],
};

/// SaslHandshakeResponse.
pub const SASL_HANDSHAKE: Answer = Answer {
    flexible_since: i16::MAX,
    fields: &[always(Fixed(2)), always(Texts)],
};

/// SaslAuthenticateResponse.
pub const SASL_AUTHENTICATE: Answer = Answer {
    flexible_since: 2,
    fields: &[
        always(Fixed(2)),
        always(Text),
        always(Blob),
        since(1, Fixed(8)),
    ],
};

/// MetadataResponse.
pub const METADATA: Answer = Answer {
    flexible_since: 9,
    fields: &[
        since(3, Fixed(4)),
        always(List(&[
            always(Fixed(4)),
            always(Text),
            always(Fixed(4)),
            since(1, Text),
        ])),
        since(2, Text),
        since(1, Fixed(4)),
        always(List(&[
            always(Fixed(2)),
            always(Text),
            since(10, Fixed(16)),
            since(1, Fixed(1)),
            always(List(&[
                always(Fixed(2)),
                always(Fixed(4)),
                always(Fixed(4)),
                since(7, Fixed(4)),
                always(Values(4)),
                always(Values(4)),
                since(5, Values(4)),
            ])),
            since(8, Fixed(4)),
        ])),
        between(8, 10, Fixed(4)),
        since(13, Fixed(2)),
    ],
};

/// ListGroupsResponse.
pub const LIST_GROUPS: Answer = Answer {
    flexible_since: 3,
    fields: &[
        since(1, Fixed(4)),
        always(Fixed(2)),
        always(List(&[
            always(Text),
            always(Text),
            since(4, Text),
            since(5, Text),
        ])),
    ],
};

/// DescribeGroupsResponse.
pub const DESCRIBE_GROUPS: Answer = Answer {
    flexible_since: 5,
    fields: &[
        since(1, Fixed(4)),
        always(List(&[
            always(Fixed(2)),
            since(6, Text),
            always(Text),
            always(Text),
            always(Text),
            always(Text),
            always(List(&[
                always(Text),
                since(4, Text),
                always(Text),
                always(Text),
                always(Blob),
                always(Blob),
            ])),
            since(3, Fixed(4)),
        ])),
    ],
};

const ASSIGNED: Shape = Struct(&[always(List(&[
    always(Fixed(16)),
    always(Text),
    always(Values(4)),
]))]);

/// ConsumerGroupDescribeResponse (KIP-848).
pub const CONSUMER_GROUP_DESCRIBE: Answer = Answer {
    flexible_since: 0,
    fields: &[
        always(Fixed(4)),
        always(List(&[
            always(Fixed(2)),
            always(Text),
            always(Text),
            always(Text),
            always(Fixed(4)),
            always(Fixed(4)),
            always(Text),
            always(List(&[
                always(Text),
                always(Text),
                always(Text),
                always(Fixed(4)),
                always(Text),
                always(Text),
                always(Texts),
                always(Text),
                always(ASSIGNED),
                always(ASSIGNED),
                since(1, Fixed(1)),
            ])),
            always(Fixed(4)),
        ])),
    ],
};

const COMMITS: Shape = List(&[
    always(Fixed(4)),
    always(Fixed(8)),
    since(5, Fixed(4)),
    always(Text),
    always(Fixed(2)),
]);

/// OffsetFetchResponse, up to version 9: one group until 7, then many.
pub const OFFSET_FETCH: Answer = Answer {
    flexible_since: 6,
    fields: &[
        since(3, Fixed(4)),
        between(0, 7, List(&[always(Text), always(COMMITS)])),
        between(2, 7, Fixed(2)),
        since(
            8,
            List(&[
                always(Text),
                always(List(&[always(Text), always(COMMITS)])),
                always(Fixed(2)),
            ]),
        ),
    ],
};

/// What a member of a classic group is assigned (ConsumerProtocolAssignment, without its version in
/// front); bytes behind it are of newer versions.
pub const ASSIGNMENT: Answer = Answer {
    flexible_since: i16::MAX,
    fields: &[
        always(List(&[always(Text), always(Values(4))])),
        always(Blob),
    ],
};

/// ListOffsetsResponse, from version 1 on.
pub const LIST_OFFSETS: Answer = Answer {
    flexible_since: 6,
    fields: &[
        since(2, Fixed(4)),
        always(List(&[
            always(Text),
            always(List(&[
                always(Fixed(4)),
                always(Fixed(2)),
                always(Fixed(8)),
                always(Fixed(8)),
                since(4, Fixed(4)),
            ])),
        ])),
    ],
};

/// ShareGroupDescribeResponse (KIP-932).
pub const SHARE_GROUP_DESCRIBE: Answer = Answer {
    flexible_since: 0,
    fields: &[
        always(Fixed(4)),
        always(List(&[
            always(Fixed(2)),
            always(Text),
            always(Text),
            always(Text),
            always(Fixed(4)),
            always(Fixed(4)),
            always(Text),
            always(List(&[
                always(Text),
                always(Text),
                always(Fixed(4)),
                always(Text),
                always(Text),
                always(Texts),
                always(ASSIGNED),
            ])),
            always(Fixed(4)),
        ])),
    ],
};

/// DescribeShareGroupOffsetsResponse (KIP-932), version 0.
pub const DESCRIBE_SHARE_GROUP_OFFSETS: Answer = Answer {
    flexible_since: 0,
    fields: &[
        always(Fixed(4)),
        always(List(&[
            always(Text),
            always(List(&[
                always(Text),
                always(Fixed(16)),
                always(List(&[
                    always(Fixed(4)),
                    always(Fixed(8)),
                    always(Fixed(4)),
                    always(Fixed(2)),
                    always(Text),
                ])),
            ])),
            always(Fixed(2)),
            always(Text),
        ])),
    ],
};

/// FetchResponse, versions 4 to 11.
pub const FETCH: Answer = Answer {
    flexible_since: 12,
    fields: &[
        always(Fixed(4)),
        since(7, Fixed(2)),
        since(7, Fixed(4)),
        always(List(&[
            always(Text),
            always(List(&[
                always(Fixed(4)),
                always(Fixed(2)),
                always(Fixed(8)),
                always(Fixed(8)),
                since(5, Fixed(8)),
                always(Values(16)),
                since(11, Fixed(4)),
                always(Blob),
            ])),
        ])),
    ],
};

/// DescribeConfigsResponse.
pub const DESCRIBE_CONFIGS: Answer = Answer {
    flexible_since: 4,
    fields: &[
        always(Fixed(4)),
        always(List(&[
            always(Fixed(2)),
            always(Text),
            always(Fixed(1)),
            always(Text),
            always(List(&[
                always(Text),
                always(Text),
                always(Fixed(3)),
                always(List(&[always(Text), always(Text), always(Fixed(1))])),
                since(3, Fixed(1)),
                since(3, Text),
            ])),
        ])),
    ],
};

/// DescribeLogDirsResponse.
pub const DESCRIBE_LOG_DIRS: Answer = Answer {
    flexible_since: 2,
    fields: &[
        always(Fixed(4)),
        since(3, Fixed(2)),
        always(List(&[
            always(Fixed(2)),
            always(Text),
            always(List(&[
                always(Text),
                always(List(&[
                    always(Fixed(4)),
                    always(Fixed(8)),
                    always(Fixed(8)),
                    always(Fixed(1)),
                ])),
            ])),
            since(4, Fixed(8)),
            since(4, Fixed(8)),
        ])),
    ],
};

impl Answer {
    /// Checks that `body` is exactly one answer of `version`.
    ///
    /// # Errors
    /// Where the bytes do not fit.
    pub fn check(&self, body: &[u8], version: i16) -> Result<(), ShapeError> {
        let mut walk = Walk {
            rest: body,
            version,
            flexible: version >= self.flexible_since,
        };
        walk.structure(self.fields)?;
        match walk.rest.len() {
            0 => Ok(()),
            left => Err(ShapeError::Trailing(left)),
        }
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        let version = self.version;
        for field in fields
            .iter()
            .filter(|field| (field.since..=field.until).contains(&version))
        {
            self.field(field.shape)?;
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let size = self.varint()?;
                self.skip(size as usize)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, shape: Shape) -> Result<(), ShapeError> {
        match shape {
            Fixed(size) => self.skip(size),
            Text => {
                let length = self.length(2)?;
                self.skip(length.unwrap_or(0))
            }
            Blob => {
                let length = self.length(4)?;
                self.skip(length.unwrap_or(0))
            }
            Texts => {
                for _ in 0..self.count()? {
                    self.field(Text)?;
                }
                Ok(())
            }
            Values(size) => {
                let count = self.count()?;
                self.skip(count.checked_mul(size).ok_or(ShapeError::Short)?)
            }
            Struct(fields) => self.structure(fields),
            List(fields) => {
                for _ in 0..self.count()? {
                    self.structure(fields)?;
                }
                Ok(())
            }
        }
    }

    /// The count of an array: no element is smaller than a byte.
    fn count(&mut self) -> Result<usize, ShapeError> {
        let count = self.length(4)?.unwrap_or(0);
        if count > self.rest.len() {
            return Err(ShapeError::Short);
        }
        Ok(count)
    }

    /// A length of so many bytes, or a compact one; `None` for null.
    fn length(&mut self, size: usize) -> Result<Option<usize>, ShapeError> {
        if self.flexible {
            return Ok((self.varint()? as usize).checked_sub(1));
        }
        let bytes = self.take(size)?;
        let value = match *bytes {
            [a, b] => i32::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]),
            _ => return Err(ShapeError::Short),
        };
        match value {
            -1 => Ok(None),
            value => usize::try_from(value)
                .map(Some)
                .map_err(|_| ShapeError::NegativeLength),
        }
    }

    /// As the codec reads it: at most five bytes, whatever the last one says.
    fn varint(&mut self) -> Result<u32, ShapeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = u32::from(self.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn skip(&mut self, size: usize) -> Result<(), ShapeError> {
        self.take(size).map(drop)
    }

    fn take(&mut self, size: usize) -> Result<&[u8], ShapeError> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(ShapeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }
}
