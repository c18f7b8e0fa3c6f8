//! Messages of a stream of server-sent events.

/// Maximum size of a message, in bytes. A public event is far smaller.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamMessage {
    /// The id; empty if the message has none.
    pub id: String,
    /// The type; empty if the message has none.
    pub event: String,
    /// The data.
    pub data: String,
}

/// Error: a message is too large, or is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent a message that is too large or no text")]
pub struct MessageError;

/// Finds the messages in the bytes of a stream, in whatever pieces they arrive.
#[derive(Debug, Default)]
pub struct MessageParser {
    /// The bytes of the current line.
    line: Vec<u8>,
    message: StreamMessage,
}

impl MessageParser {
    /// Takes the next bytes. Returns the messages that are complete.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<StreamMessage>, MessageError> {
        let mut complete = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.message.data.len() > MAX_MESSAGE_BYTES {
                    return Err(MessageError);
                }
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| MessageError)?;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                complete.push(std::mem::take(&mut self.message));
            } else {
                self.take_line(line);
            }
        }
        complete.retain(|message| *message != StreamMessage::default());
        Ok(complete)
    }

    fn take_line(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => value.clone_into(&mut self.message.id),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments, `retry`, and members that later versions add.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that messages are found in pieces of any size, and that comments and other members are ignored.
    #[test]
    fn messages_are_found_in_any_pieces() {
        let text = "retry: 2000\n: comment\n\nid: 7\nevent: placed\ndata: {\"a\":\r\ndata: 1}\r\n\r\nid:8\ndata: x\n\nid: 9\n";
        let message = |id: &str, event: &str, data: &str| StreamMessage {
            id: id.into(),
            event: event.into(),
            data: data.into(),
        };
        for size in 1..text.len() {
            let mut parser = MessageParser::default();
            let found: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|piece| parser.take(piece).unwrap()).collect();
            assert_eq!(found, [message("7", "placed", "{\"a\":\n1}"), message("8", "", "x")], "{size}");
        }
    }

    /// Proves that a message has a maximum size, and must be text.
    #[test]
    fn a_message_has_a_maximum_size() {
        let mut parser = MessageParser::default();
        assert_eq!(parser.take(&vec![b'a'; MAX_MESSAGE_BYTES + 1]), Err(MessageError));
        assert_eq!(MessageParser::default().take(b"data: \xff\n"), Err(MessageError));
    }
}
