//! The suite that every store must pass: one function per property, and a macro that runs all of them.
//!
//! A store's crate has an integration test with an expression that creates an empty store:
//!
//! ```ignore
//! dabba_store::conformance_suite!(fresh_store());
//! ```
//!
//! `fresh_store()` returns a future of a [`Harness`]. The tests of the crate need `tokio` with `macros`,
//! `rt-multi-thread` and `time`.
//!
//! To add a property, add a function to one of the modules below, and its name to the list at the end of this
//! file. The compiler warns about a property that is missing from the list, because the function is then
//! unreachable.

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property that does not hold ends its test with a panic"
)]

mod access;
mod accounts;
mod api_keys;
mod audit;
mod availability;
mod boards;
pub mod builders;
mod catalogue;
mod codes;
mod commits;
mod consumers;
pub mod damaged;
mod feed;
pub mod formats;
mod history;
mod keys;
mod lists;
pub mod newer;
mod parking;
pub mod past;
mod payments;
mod queues;
mod registering;
mod sessions;
mod statistics;
mod stock;
mod stock_edits;
mod store;
pub mod subjects;
mod tasks;
mod texts;
mod tracking;
mod unavailable;
mod webhook_deliveries;
mod webhook_endpoints;

use std::sync::Arc;

use crate::Store;

/// A new, empty store and the resources that it needs, such as a directory or a database. The suite creates
/// one for each property and drops it afterwards.
pub trait Harness: Send + Sync {
    /// Returns the store.
    fn store(&self) -> Arc<dyn Store>;
}

/// Re-exports the properties, and defines the macro that runs each of them.
macro_rules! properties {
    ($dollar:tt $($module:ident { $($property:ident,)+ })+) => {
        $(pub use $module::{$($property),+};)+

        /// Runs every property of the suite as a separate test. The argument is an expression that returns a
        /// future of a [`Harness`](crate::conformance::Harness). Each test evaluates the expression once.
        #[macro_export]
        macro_rules! conformance_suite {
            ($dollar harness:expr) => {$($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $property() {
                    let harness = $dollar harness.await;
                    let store = $dollar crate::conformance::Harness::store(&harness);
                    $dollar crate::conformance::$property(store).await;
                }
            )+)+};
        }
    };
}

properties! { $
    keys {
        a_key_in_two_commits_of_a_batch_makes_one_order,
        a_key_in_two_batches_at_once_makes_one_order,
        a_key_with_another_request_is_refused,
        a_key_in_another_scope_is_another_key,
        a_key_of_a_command_without_effect_returns_the_version_of_the_first_answer,
        a_key_is_found_with_its_record,
        a_claim_is_checked_before_everything_else,
        old_keys_are_deleted_up_to_the_limit,
        old_keys_of_many_restaurants_are_deleted_up_to_the_limit,
    }
    commits {
        an_empty_batch_has_no_effect,
        outcomes_have_the_order_of_the_commits,
        a_commit_sees_the_earlier_commits_of_its_batch,
        a_version_conflict_names_the_current_version,
        one_of_many_concurrent_changes_of_a_version_succeeds,
        an_order_priced_from_an_old_catalogue_is_refused,
        a_failed_commit_writes_nothing,
        conditions_are_checked_in_the_order_of_the_contract,
        a_commit_that_breaks_the_history_is_refused_with_its_batch,
    }
    stock {
        limited_stock_is_sold_out_and_never_oversold,
        several_items_are_drawn_together_or_not_at_all,
        stock_goes_down_within_a_batch,
        an_item_drawn_twice_in_one_commit_counts_twice,
        stock_of_an_unlimited_item_cannot_be_drawn,
        returned_stock_can_be_drawn_again,
        stock_of_an_unlimited_item_is_not_returned,
    }
    stock_edits {
        an_adjustment_is_relative_to_the_remaining_stock,
        an_adjustment_under_one_key_is_made_once,
        orders_and_adjustments_share_their_keys,
        only_manual_changes_increase_the_stock_revision,
        stock_is_changed_only_at_the_expected_revision,
        concurrent_adjustments_and_sales_lose_nothing,
        an_adjustment_sent_concurrently_under_one_key_is_made_once,
    }
    history {
        the_events_of_every_kind_of_end_fold_to_the_stored_order,
        the_events_of_random_lives_fold_to_the_stored_order,
        details_are_stored_exactly,
        events_are_read_in_pages,
        an_unknown_order_has_no_events,
    }
    feed {
        the_feed_is_in_the_order_of_the_commits,
        events_of_the_feed_state_their_parties,
        the_feed_is_read_in_pages,
        the_end_of_the_feed_separates_old_from_new_events,
        every_shard_is_a_source_of_events,
        the_feed_has_each_restaurant_in_commit_order,
        the_feed_of_concurrent_writers_skips_nothing,
    }
    texts {
        texts_that_validation_now_refuses_are_read,
    }
    payments {
        an_order_by_card_is_stored_exactly_through_its_whole_life,
        an_order_by_card_that_ends_early_is_stored_exactly,
        a_refund_that_is_reversed_is_stored_exactly,
        refunds_are_stored_exactly,
    }
    lists {
        a_customer_sees_their_orders_newest_first,
        a_restaurant_sees_open_orders_first,
        open_orders_are_the_newest_in_these_statuses,
        a_courier_sees_the_orders_that_they_carry,
        all_orders_are_listed_newest_first,
        lists_are_filtered_by_status,
        filtered_lists_are_read_in_pages,
        pages_are_stable_while_orders_arrive,
        the_last_page_has_no_next_position,
        the_list_of_an_owner_without_orders_is_empty,
    }
    codes {
        orders_are_found_by_their_code,
        a_search_by_code_reads_a_bounded_number_of_ids,
    }
    tasks {
        a_task_is_not_leased_before_it_is_due,
        tasks_are_leased_by_due_time_up_to_the_limit,
        tasks_of_many_restaurants_are_leased_up_to_the_limit,
        a_leased_task_is_not_leased_again,
        a_task_is_leased_to_one_of_many_workers,
        an_expired_lease_is_taken_over,
        a_commit_completes_a_task,
        a_commit_with_a_lost_lease_is_refused,
        an_expired_lease_that_was_not_taken_over_still_completes,
        a_postponed_task_is_leased_again_with_its_error,
        a_task_is_postponed_only_by_its_holder,
        a_task_postponed_without_an_error_keeps_its_last_error,
    }
    parking {
        a_parked_task_keeps_its_whole_history,
        a_task_for_admins_is_parked_from_the_start,
        a_task_is_parked_only_by_its_holder,
        parked_tasks_are_listed_by_id,
        a_parked_task_is_retried_on_request,
        a_resolved_task_is_never_leased_again,
        the_history_of_a_task_is_bounded,
    }
    queues {
        a_task_of_each_kind_is_stored_exactly,
        tasks_are_leased_only_from_their_own_queue,
        a_long_queue_does_not_delay_another,
        the_failures_of_a_task_are_counted,
        waiting_and_parked_tasks_are_measured,
    }
    subjects {
        a_task_about_a_restaurant_or_an_account_is_stored_exactly,
        a_task_is_enqueued_once,
        a_task_that_does_not_fit_its_kind_is_refused,
        a_review_of_any_subject_is_resolved_once,
        the_task_of_an_order_needs_a_commit,
    }
    catalogue {
        a_created_restaurant_is_stored_exactly,
        a_restaurant_is_created_once,
        restaurants_are_read_in_pages,
        a_restaurant_is_updated_only_at_the_expected_revision,
        a_menu_is_replaced_only_at_the_expected_revision,
        a_menu_can_be_replaced_many_times,
        replacing_the_menu_keeps_the_stock,
        the_menu_revision_increases_when_an_item_becomes_limited_or_unlimited,
        an_unknown_restaurant_is_not_found,
        one_of_many_concurrent_updates_of_a_revision_succeeds,
        revisions_equal_the_guard_of_the_catalogue,
        revisions_of_unknown_restaurants_are_missing,
        revisions_increase_with_each_kind_of_change,
        revisions_of_many_restaurants_are_limited_per_call,
    }
    registering {
        an_external_id_has_one_restaurant,
        one_of_many_concurrent_registrations_of_an_external_id_succeeds,
        a_closed_restaurant_is_stored_exactly,
        a_restaurant_is_changed_once_under_a_key,
        an_account_is_registered_once_under_a_key,
        a_key_of_an_account_is_claimed_once,
        keys_of_accounts_are_listed_and_deleted,
    }
    availability {
        availability_is_stored_apart_from_the_menu,
        a_menu_sets_the_availability_that_it_states,
        a_menu_is_not_replaced_at_another_availability_revision,
        a_known_menu_is_not_read_again,
    }
    unavailable {
        a_rejection_marks_the_named_items_or_nothing,
        a_mark_is_never_shortened,
        a_rejection_keeps_later_manual_marks,
        orders_after_a_rejection_in_a_batch_see_the_marks,
        rejections_of_one_batch_add_up,
        concurrent_rejections_and_manual_changes_lose_nothing,
    }
    api_keys {
        a_service_account_is_listed_by_its_holder,
        a_key_is_found_by_its_hash,
        active_keys_are_limited,
        a_key_is_created_once_under_an_idempotency_key,
        a_key_is_revoked_once,
        the_keys_of_an_account_end_with_it,
        a_void_key_writes_nothing,
        the_latest_use_of_a_key_is_kept,
    }
    sessions {
        a_session_is_found_by_its_hash,
        active_sessions_are_limited,
        a_session_is_created_for_the_account_that_was_authenticated,
        a_session_is_revoked_once,
        the_sessions_of_an_account_end_with_it,
        a_void_session_writes_nothing,
        uses_extend_a_session,
        expired_sessions_are_deleted_up_to_the_limit,
        a_login_link_creates_one_session,
        a_login_link_ends_with_the_credentials_of_its_account,
        login_links_are_for_enabled_persons,
        expired_login_links_are_deleted_up_to_the_limit,
    }
    accounts {
        a_created_account_is_stored_exactly,
        an_address_has_one_account,
        one_of_many_concurrent_registrations_of_an_address_succeeds,
        a_membership_is_added_and_removed_once,
        members_are_read_in_pages,
        an_account_works_for_several_restaurants,
    }
    access {
        an_account_is_changed,
        an_account_is_changed_only_at_an_expected_version,
        an_account_is_changed_once_under_a_key,
        the_last_enabled_admin_cannot_be_removed,
        one_of_the_admins_who_disable_each_other_stays_enabled,
        a_deleted_account_is_anonymous_and_its_address_free,
        memberships_end_with_the_role,
        revocations_are_followed_by_revision,
        no_revocation_is_missed,
        a_revoked_caller_writes_nothing,
        accounts_are_read_in_pages,
    }
    consumers {
        a_feed_lease_has_one_holder,
        one_of_many_concurrent_requests_gets_the_feed_lease,
        an_expired_feed_lease_writes_nothing,
        a_checkpoint_of_a_stale_holder_is_refused,
        a_checkpoint_never_goes_back,
        consumers_join_their_group,
        an_invalid_checkpoint_is_refused,
    }
    statistics {
        a_roll_up_counts_once,
        a_roll_up_of_a_stale_holder_is_refused,
        stated_statistics_are_replaced,
        statistics_are_read_in_pages,
        old_statistics_are_deleted_up_to_the_limit,
        invalid_statistics_are_refused,
    }
    webhook_endpoints {
        a_webhook_endpoint_is_stored_exactly,
        a_webhook_endpoint_is_changed_only_at_its_version,
        one_of_many_concurrent_changes_of_a_webhook_endpoint_succeeds,
        a_webhook_endpoint_is_written_once_under_a_key,
        the_webhook_endpoints_of_an_owner_are_limited,
        a_revoked_caller_writes_no_webhook_endpoint,
        no_change_of_a_webhook_endpoint_is_missed,
        the_health_of_a_webhook_endpoint_is_the_latest,
        concurrent_reports_of_the_same_health_succeed,
        only_forgotten_webhook_endpoints_are_purged,
    }
    webhook_deliveries {
        a_webhook_failure_is_stored_exactly,
        webhook_failures_and_positions_are_written_together,
        webhook_failures_are_due_by_time,
        failing_webhook_endpoints_are_listed,
        failures_are_revived_by_a_replay,
        failures_are_due_early_after_an_outage,
        a_deleted_webhook_endpoint_is_forgotten,
        webhook_failures_are_listed_by_order,
        the_log_of_a_webhook_endpoint_is_bounded,
    }
    tracking {
        a_tracking_link_leads_to_its_order,
        the_tracking_links_of_an_order_are_limited,
        tracking_links_of_ended_orders_are_deleted,
        a_command_by_link_is_stored_exactly,
    }
    boards {
        a_connected_board_is_stored_exactly,
        the_latest_connection_of_a_board_counts,
        a_board_that_nobody_renews_is_stale,
        the_boards_of_a_restaurant_are_limited,
        a_connected_board_makes_no_place,
        attendance_is_read_for_many_restaurants,
        an_unattended_restaurant_is_found_after_the_limit,
        a_stale_board_gets_a_second_chance,
        old_boards_are_deleted,
        renewals_rarely_postpone_the_check,
        checks_are_postponed,
        due_boards_are_checked_once,
        an_unattended_restaurant_is_paused_once,
        an_attended_restaurant_is_not_paused,
        one_of_many_concurrent_pauses_succeeds,
    }
    audit {
        orders_are_looked_up_together,
        all_tasks_are_listed_until_they_are_completed,
        all_keys_are_listed_by_account_and_restaurant,
        all_stock_is_listed_by_restaurant,
    }
    store {
        a_store_answers,
        a_store_states_its_shards,
        a_closed_store_is_unavailable,
        calls_that_are_queued_when_the_store_closes_are_answered,
    }
}
