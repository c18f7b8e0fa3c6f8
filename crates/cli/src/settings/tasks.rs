//! Background tasks and the workers that process them.

use confique::Config;
use dabba_engine::TaskConfig;
use jiff::SignedDuration;

use super::{Bounded, Milliseconds};

/// Tasks and workers.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: tasks and workers")))]
pub(crate) struct Tasks {
    /// Whether the server processes tasks, such as the expiry of orders that nobody accepts. With `false`, `dabba work` has to
    /// process them.
    #[config(env = "DABBA_WORK", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) work: bool,

    /// Maximum number of tasks per queue (deadlines, payments) that a process runs concurrently. 1 to 10,000; default 256.
    #[config(env = "DABBA_TASK_CONCURRENCY", default = 256)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) task_concurrency: Bounded<1, 10_000>,

    /// Interval at which workers poll for due tasks, in milliseconds. 1 to 600,000; default 1,000. Urgent tasks wake the workers
    /// at once.
    #[config(env = "DABBA_TASK_POLL_MILLISECONDS", default = 1000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) task_poll_milliseconds: Milliseconds,

    /// Duration of the lease that a worker holds on a task, in seconds. 1 to 600; default 30. After it, other workers take over
    /// the tasks of a process that died. Must be greater than `payment_timeout_seconds`.
    #[config(env = "DABBA_TASK_LEASE_SECONDS", default = 30)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) task_lease_seconds: Bounded<1, 600>,

    /// Time after which Dabba pauses a restaurant that takes orders while none of its boards is connected, in minutes. 0 to 1,440;
    /// default 0; 0 means never. The pause ends when a board connects. Restaurants that had no board in the last 30 days are not
    /// paused. Set the same value for all servers and workers: each of them pauses restaurants after its own value. The guide to the
    /// web pages states under "Unattended boards" how late the pause can be, also after the loss of a server.
    #[config(env = "DABBA_UNATTENDED_PAUSE_MINUTES", default = 0)]
    #[config(layer_attr(arg(long, value_name = "MINUTES")))]
    pub(crate) unattended_pause_minutes: Bounded<0, 1_440>,
}

impl Tasks {
    /// Returns the configuration of the workers.
    pub(crate) fn task_config(&self) -> TaskConfig {
        TaskConfig {
            concurrency: self.task_concurrency.size(),
            lease: self.task_lease_seconds.seconds(),
            poll_interval: self.task_poll_milliseconds.milliseconds(),
            ..TaskConfig::default()
        }
    }

    /// Returns the time after which an unattended restaurant is paused; `None`: never.
    pub(crate) fn unattended_pause(&self) -> Option<SignedDuration> {
        let minutes = self.unattended_pause_minutes.small();
        (minutes > 0).then(|| SignedDuration::from_mins(i64::from(minutes)))
    }
}
