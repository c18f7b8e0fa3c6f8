//! The suite that every store must pass: one function per property, and a macro that runs them all.
//!
//! A store's crate has an integration test that names how a fresh, empty store is made:
//!
//! ```ignore
//! dabba_store::conformance_suite!(fresh_store());
//! ```
//!
//! where `fresh_store()` gives a future of a [`Harness`]. The crate needs `tokio` with `macros`,
//! `rt-multi-thread` and `time` as a dependency of its tests.
//!
//! To add a property: a function in one of the modules below, and its name in the list at the end of
//! this file. One that is missing in the list is a public function that nobody can reach, which the
//! compiler warns about.

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property that does not hold ends its test with a panic"
)]

mod access;
mod accounts;
mod audit;
mod availability;
pub mod builders;
mod catalogue;
mod commits;
mod history;
mod keys;
mod lists;
pub mod newer;
mod parking;
pub mod past;
mod payments;
mod queues;
mod registering;
mod stock;
mod stock_edits;
mod store;
mod tasks;
mod texts;
mod unavailable;

use std::sync::Arc;

use crate::Store;

/// A fresh, empty store and what keeps it alive: a directory, a database. Made anew for each
/// property, and dropped after it.
pub trait Harness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
}

/// Re-exports the properties, and makes the macro that runs each of them.
macro_rules! properties {
    ($dollar:tt $($module:ident { $($property:ident,)+ })+) => {
        $(pub use $module::{$($property),+};)+

        /// Runs every property of the suite as a test of its own. Takes an expression that gives a
        /// future of a [`Harness`](crate::conformance::Harness), evaluated once for each.
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
        a_key_of_a_command_without_effect_is_answered_with_that_version,
        a_key_is_found_with_what_was_asked,
        a_claim_is_checked_before_everything_else,
        old_keys_are_forgotten_in_bounded_number,
        old_keys_of_many_restaurants_are_forgotten_in_bounded_number,
    }
    commits {
        an_empty_batch_is_nothing,
        outcomes_stand_in_the_order_of_the_commits,
        a_commit_builds_upon_those_before_it_in_the_batch,
        a_version_conflict_names_the_current_version,
        of_many_that_change_one_version_one_wins,
        an_order_priced_from_an_old_catalogue_is_refused,
        a_failed_commit_writes_nothing,
        conditions_are_checked_in_the_order_of_the_contract,
        a_commit_that_breaks_the_history_is_refused_with_its_batch,
    }
    stock {
        limited_stock_is_sold_to_the_last_and_never_beyond,
        several_items_are_taken_together_or_not_at_all,
        stock_goes_down_within_a_batch,
        an_item_taken_twice_in_one_commit_counts_twice,
        stock_of_an_item_that_is_not_kept_cannot_be_taken,
        stock_that_is_returned_can_be_taken_again,
        stock_that_is_no_longer_kept_is_not_returned,
    }
    stock_edits {
        an_adjustment_counts_from_what_is_left,
        an_adjustment_under_one_key_is_made_once,
        orders_and_adjustments_share_their_keys,
        changes_by_hand_alone_raise_the_revision_of_stock,
        stock_is_changed_only_at_the_expected_revision,
        adjustments_and_sales_at_once_lose_nothing,
        an_adjustment_sent_many_times_at_once_is_made_once,
    }
    history {
        the_events_of_every_way_to_an_end_make_the_stored_order,
        the_events_of_random_lives_make_the_stored_order,
        details_are_stored_exactly,
        events_are_read_in_pages,
        an_unknown_order_has_no_events,
        the_feed_is_in_the_order_of_the_commits,
        the_feed_is_read_in_pages,
        the_feed_of_many_restaurants_has_each_in_its_order,
        the_feed_of_concurrent_writers_skips_nothing,
    }
    texts {
        texts_of_the_past_are_read,
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
        a_courier_sees_the_orders_that_they_carry,
        all_orders_are_listed_newest_first,
        lists_are_filtered_by_status,
        filtered_lists_are_read_in_pages,
        pages_stay_where_they_are_while_orders_arrive,
        the_last_page_says_so,
        nobody_without_orders_has_a_list,
    }
    tasks {
        a_task_is_not_handed_out_before_its_time,
        tasks_are_handed_out_by_due_time_in_bounded_number,
        tasks_of_many_restaurants_are_handed_out_in_bounded_number,
        a_leased_task_is_not_handed_out,
        a_task_goes_to_one_of_many_workers,
        a_lease_that_ran_out_is_taken_over,
        a_commit_completes_a_task,
        a_commit_with_a_lost_lease_is_refused,
        a_lease_that_ran_out_but_was_not_taken_over_still_completes,
        a_postponed_task_comes_back_with_its_error,
        a_task_is_postponed_only_by_its_holder,
        a_task_given_back_without_an_error_keeps_what_was_said,
    }
    parking {
        a_parked_task_is_put_aside_with_its_whole_history,
        a_task_for_people_is_parked_from_the_start,
        a_task_is_parked_only_by_its_holder,
        parked_tasks_are_listed_by_id,
        a_parked_task_is_tried_again_when_somebody_says_so,
        a_resolved_task_is_gone_for_good,
        the_history_of_a_task_is_bounded,
    }
    queues {
        a_task_of_each_kind_comes_out_exactly,
        one_queue_is_never_handed_out_for_another,
        a_long_queue_does_not_hold_up_another,
        the_failures_of_a_task_are_counted,
        the_work_that_waits_is_measured,
    }
    catalogue {
        a_restaurant_comes_back_as_it_was_created,
        a_restaurant_is_created_once,
        restaurants_are_read_in_pages,
        a_restaurant_is_updated_only_at_the_expected_revision,
        a_menu_is_replaced_only_at_the_expected_revision,
        a_menu_can_be_replaced_many_times,
        replacing_the_menu_keeps_the_stock,
        the_menu_revision_goes_up_when_an_item_becomes_limited_or_ceases_to_be,
        an_unknown_restaurant_is_not_found,
        of_many_that_update_one_revision_one_wins,
        revisions_are_those_of_the_catalogue,
        revisions_of_unknown_restaurants_are_missing,
        revisions_go_up_with_each_kind_of_change,
        revisions_of_many_restaurants_are_told_in_bounded_number,
    }
    registering {
        an_external_id_has_one_restaurant,
        of_many_that_register_an_external_id_one_wins,
        a_closed_restaurant_comes_back_as_it_was_closed,
        a_restaurant_is_changed_once_under_a_key,
        an_account_is_registered_once_under_a_key,
        a_key_of_an_account_is_claimed_once,
        keys_of_accounts_are_listed_and_forgotten,
    }
    availability {
        availability_is_kept_beside_the_menu,
        a_menu_sets_the_availability_that_it_states,
        a_menu_is_not_replaced_at_another_availability,
        a_known_menu_is_not_read_again,
    }
    unavailable {
        a_rejection_marks_what_it_names_or_nothing,
        a_mark_is_never_shortened,
        a_rejection_and_marks_by_hand_meet,
        orders_behind_a_rejection_in_a_batch_meet_the_marks,
        rejections_of_one_batch_add_up,
        rejections_and_changes_by_hand_at_once_lose_nothing,
    }
    accounts {
        an_account_comes_back_as_it_was_created,
        an_address_has_one_account,
        of_many_that_register_an_address_one_wins,
        a_membership_is_added_and_removed_once,
        members_are_read_in_pages,
        an_account_works_for_several_restaurants,
    }
    access {
        an_account_is_changed,
        an_account_is_changed_only_at_an_expected_version,
        an_account_is_changed_once_under_a_key,
        the_last_admin_stays,
        of_admins_who_disable_each_other_one_stays,
        a_deleted_account_is_anonymous_and_its_address_free,
        memberships_end_with_the_role,
        revocations_are_followed_by_revision,
        no_revocation_is_missed,
        a_revoked_caller_writes_nothing,
        accounts_are_read_in_pages,
    }
    audit {
        orders_are_looked_up_together,
        all_tasks_are_listed_until_they_are_done,
        all_keys_are_listed_by_account_and_restaurant,
        all_stock_is_listed_by_restaurant,
    }
    store {
        a_store_answers,
        a_closed_store_is_unavailable,
        what_was_queued_when_the_store_closed_is_answered,
    }
}
