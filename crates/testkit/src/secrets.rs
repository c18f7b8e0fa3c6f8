//! Texts with a secret, which no message may repeat.

/// Wrong values of options and settings, each with the secret `hush` in another form.
pub const WITH_SECRET: [&str; 13] = [
    "u:hush@h:80",
    "postgresql://u:hush@h:x/d",
    "http://h/x?token=hush",
    "password=hush",
    "mysql://u:hush",
    "http://u:hush",
    "Bearer hush",
    "pwd=hush",
    "pass=hush",
    "key=hush",
    "authorization=hush",
    "password: hush",
    "file://u:hush@h/x",
];
