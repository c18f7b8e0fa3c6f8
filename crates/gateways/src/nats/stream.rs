//! The stream that holds the events: its creation, the check of an existing one, and its last message.

use std::error::Error as _;

use async_nats::jetstream::{
    ErrorCode,
    context::{
        CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError,
        RequestErrorKind,
    },
    stream::{Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream},
};
use dabba_engine::SinkError;

use super::{
    ALL_SUBJECTS, DUPLICATE_WINDOW, MAX_STREAM_MESSAGES, PLACE_HEADER, SUBJECT_PREFIX,
    connection::{Connection, cut},
};

/// The end of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StreamEnd {
    /// Sequence number of the last message that the stream ever stored; 0 for a new stream.
    pub(super) last_sequence: u64,
    /// Place of the last message that the stream holds, and its sequence number.
    pub(super) last: Option<(u64, String)>,
}

/// Opens the stream, creates it if it does not exist, and reads its end.
pub(super) async fn open(connection: &Connection, name: &str) -> Result<(Stream, StreamEnd), SinkError> {
    let stream = match connection.jetstream.get_stream(name).await {
        Ok(stream) => stream,
        Err(error) if is_absent(&error) => {
            // Another server may create the stream at the same time: creating it again with the same settings changes nothing.
            let created = connection.jetstream.create_stream(new_stream(name)).await;
            let stream = created.map_err(|error| not_created(connection, name, &error))?;
            tracing::info!(stream = name, "created the stream for events");
            stream
        }
        Err(error) => return Err(not_opened(connection, name, &error)),
    };
    check(&stream.cached_info().config).map_err(|why| {
        SinkError::Refused(format!(
            "the stream {name} exists and {why}; change it, or name another stream with broker_stream"
        ))
    })?;
    let last_sequence = stream.cached_info().state.last_sequence;
    let last = last_place(connection, &stream, name).await?;
    Ok((stream, StreamEnd { last_sequence, last }))
}

/// Verifies that the stream still holds a message with this sequence number and place. A purge deletes all messages, and the server
/// would store the next message nevertheless: it compares only the number and the id of the last message that the stream ever stored.
pub(super) async fn check_held(
    connection: &Connection,
    stream: &Stream,
    sequence: u64,
    place: &str,
) -> Result<(), SinkError> {
    let lost = || {
        let why = "was deleted or replaced, for example by a purge of the stream";
        SinkError::Conflict(format!("message {sequence}, the last one that Dabba published, {why}"))
    };
    match stream.get_raw_message(sequence).await {
        Ok(found) if found.headers.get(PLACE_HEADER).is_some_and(|held| held.as_str() == place) => Ok(()),
        Ok(_) => Err(lost()),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Err(lost()),
            LastRawMessageErrorKind::JetStream(error)
                if matches!(
                    error.error_code(),
                    ErrorCode::NO_MESSAGE_FOUND | ErrorCode::STREAM_NOT_FOUND
                ) =>
            {
                Err(lost())
            }
            LastRawMessageErrorKind::JetStream(error) => Err(SinkError::Unavailable(cut(&error.to_string()))),
            _ => Err(connection.no_answer(&format!("reading message {sequence} of the stream failed"))),
        },
    }
}

fn new_stream(name: &str) -> Config {
    Config {
        name: name.to_owned(),
        description: Some("Events of Dabba's orders. Only Dabba publishes here.".to_owned()),
        subjects: vec![ALL_SUBJECTS.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_messages: MAX_STREAM_MESSAGES,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: 1,
        ..Config::default()
    }
}

/// Checks that a stream holds all events, holds them in their order, and holds nothing else. The error is a clause.
fn check(config: &Config) -> Result<(), String> {
    if !config.subjects.iter().any(|subject| subject == ALL_SUBJECTS) {
        return Err(format!("does not hold the subjects {ALL_SUBJECTS}"));
    }
    if let Some(other) = config.subjects.iter().find(|subject| !subject.starts_with(SUBJECT_PREFIX)) {
        return Err(format!("also holds the subject {}: it must hold {ALL_SUBJECTS} only", cut(other)));
    }
    if config.mirror.is_some() || config.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
        return Err("copies messages of another stream".to_owned());
    }
    if config.subject_transform.is_some() {
        return Err("changes the subjects of its messages".to_owned());
    }
    if config.retention != RetentionPolicy::Limits {
        return Err(
            "deletes acknowledged messages: its retention must be limits, because the last message holds the place".to_owned()
        );
    }
    if config.sealed {
        return Err("is sealed: it accepts no messages".to_owned());
    }
    if config.no_ack {
        return Err("does not acknowledge messages".to_owned());
    }
    Ok(())
}

/// Returns the sequence number and the place of the last message; `None` if the stream holds no message.
async fn last_place(
    connection: &Connection,
    stream: &Stream,
    name: &str,
) -> Result<Option<(u64, String)>, SinkError> {
    let last =
        match stream.get_last_raw_message_by_subject(ALL_SUBJECTS).await {
            Ok(last) => last,
            Err(error) => {
                return match error.kind() {
                    LastRawMessageErrorKind::NoMessageFound => Ok(None),
                    LastRawMessageErrorKind::JetStream(error)
                        if error.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
                    {
                        Ok(None)
                    }
                    LastRawMessageErrorKind::JetStream(error) => {
                        Err(SinkError::Unavailable(cut(&error.to_string())))
                    }
                    _ => Err(connection
                        .no_answer(&format!("reading the last message of the stream {name} failed"))),
                };
            }
        };
    match last.headers.get(PLACE_HEADER) {
        Some(place) => Ok(Some((last.sequence, place.as_str().to_owned()))),
        None => Err(SinkError::Refused(format!(
            "message {} of the stream {name} has no header {PLACE_HEADER}, so it is not from Dabba: revoke the right \
             of other programs to publish to {ALL_SUBJECTS}, and delete the message (nats stream rmm {name} {})",
            last.sequence, last.sequence
        ))),
    }
}

fn is_absent(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Returns whether nobody answers requests to JetStream.
fn is_without_jetstream(error: &GetStreamError) -> bool {
    let request = error.source().and_then(|source| source.downcast_ref::<RequestError>());
    request.is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

fn not_opened(connection: &Connection, name: &str, error: &GetStreamError) -> SinkError {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => refused_by_jetstream(name, &error),
        GetStreamErrorKind::Request if is_without_jetstream(error) => SinkError::Refused(
            "JetStream is not enabled in the server: add jetstream {} to its configuration".to_owned(),
        ),
        GetStreamErrorKind::Request => {
            connection.no_answer(&format!("reading the stream {name} failed: {}", cut(&error.to_string())))
        }
        _ => SinkError::Refused(cut(&error.to_string())),
    }
}

fn not_created(connection: &Connection, name: &str, error: &CreateStreamError) -> SinkError {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => refused_by_jetstream(name, &error),
        CreateStreamErrorKind::TimedOut
        | CreateStreamErrorKind::JetStreamUnavailable
        | CreateStreamErrorKind::Response => {
            connection.no_answer(&format!("creating the stream {name} failed"))
        }
        _ => SinkError::Refused(cut(&error.to_string())),
    }
}

fn refused_by_jetstream(name: &str, error: &async_nats::jetstream::Error) -> SinkError {
    let text = cut(&error.to_string());
    match error.error_code() {
        ErrorCode::STREAM_SUBJECT_OVERLAP => SinkError::Refused(format!(
            "another stream holds a part of the subjects {ALL_SUBJECTS}: name that stream with broker_stream, or change its \
             subjects ({text})"
        )),
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            SinkError::Refused(format!("JetStream is not enabled: {text}"))
        }
        // Such as a cluster that elects a leader.
        _ if error.code() >= 500 => SinkError::Unavailable(text),
        _ => SinkError::Refused(format!("the stream {name} cannot be used: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::Source;

    use super::*;

    /// Proves that Dabba accepts the stream that it creates, and an existing one with other limits.
    #[test]
    fn a_stream_with_other_limits_is_accepted() {
        assert_eq!(check(&new_stream("S")), Ok(()));
        let other = Config {
            num_replicas: 3,
            max_messages: 5,
            discard: DiscardPolicy::New,
            storage: StorageType::Memory,
            subjects: vec!["dabba.events.>".into()],
            ..new_stream("S")
        };
        assert_eq!(check(&other), Ok(()));
    }

    /// Proves that a stream is refused if it would lose events, their order, or the place.
    #[test]
    fn a_stream_that_cannot_keep_the_place_is_refused() {
        let subjects = |subjects: &[&str]| Config {
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            ..new_stream("S")
        };
        for (config, part) in [
            (subjects(&["orders.>"]), "does not hold the subjects"),
            (subjects(&["dabba.events.1.>"]), "does not hold the subjects"),
            (subjects(&["dabba.events.>", "orders.>"]), "also holds the subject orders.>"),
            (Config { retention: RetentionPolicy::WorkQueue, ..new_stream("S") }, "must be limits"),
            (Config { retention: RetentionPolicy::Interest, ..new_stream("S") }, "must be limits"),
            (Config { mirror: Some(Source::default()), ..new_stream("S") }, "copies messages"),
            (Config { sources: Some(vec![Source::default()]), ..new_stream("S") }, "copies messages"),
            (Config { sealed: true, ..new_stream("S") }, "is sealed"),
            (Config { no_ack: true, ..new_stream("S") }, "does not acknowledge"),
        ] {
            let why = check(&config).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
    }
}
