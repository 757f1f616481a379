//! The list of tests.

/// Expands to one named test per promise. `open` is an async function without arguments that returns a fresh
/// store and whatever must outlive it, such as its temporary folder. The caller depends on `tokio`.
#[macro_export]
macro_rules! suite {
    ($open:expr) => {
        $crate::suite! { @each $open;
            append {
                keeps_entries_in_order,
                keeps_only_the_newest_progress,
                counts_chunks_and_their_bytes,
                repeated_changes_nothing,
                partly_repeated_adds_the_rest,
                repeated_late_leaves_the_newer_checkpoint,
                stores_checkpoint_and_chunks_together,
                takes_a_checkpoint_alone,
                tells_of_a_cancel,
                by_an_old_fence_changes_nothing,
                to_what_ended_or_was_given_up_is_refused,
                that_does_not_continue_the_log_is_invalid,
                log_comes_in_pages,
            }
            artifacts {
                are_read_by_their_owner,
                are_nobody_elses,
                keep_is_safe_to_repeat,
                an_id_is_never_given_twice,
                may_be_large_or_empty,
                are_purged_when_expired,
            }
            cancel {
                ends_what_waits,
                ends_what_waits_for_a_retry,
                marks_what_runs,
                outlives_the_attempt,
                leaves_what_ended,
                of_nothing_is_not_found,
                ends_only_as_cancelled,
            }
            claim {
                takes_what_is_due,
                takes_the_longest_due_first,
                takes_at_most_the_limit,
                takes_nothing_twice,
                takes_over_once_the_lease_ran_out,
                raises_the_fence,
                counts_attempts_but_no_takeover_after_a_release,
                tells_when_the_next_is_due,
                by_many_gives_each_request_once,
            }
            connections {
                are_kept_whole,
                are_replaced,
                are_touched,
                are_removed_once,
                are_listed_by_tenant_and_user,
                are_listed_in_pages,
                refuse_a_foreign_cursor,
                of_an_endpoint_are_forgotten,
                are_purged_when_expired,
            }
            enqueue {
                stores_everything,
                repeated_answers_where_it_stands,
                with_another_payload_is_a_conflict,
                knows_an_id_after_its_end,
                at_once_by_many_stores_one,
                promoted_is_leased,
                promoted_repeated_is_known,
                promoted_over_another_payload_is_a_conflict,
            }
            finish {
                ends_with_the_outcome,
                may_fail_or_be_cancelled,
                repeated_changes_nothing,
                by_an_old_fence_changes_nothing,
                by_a_lease_given_up_is_refused,
                works_after_the_lease_ran_out,
            }
            keys {
                are_tuples,
                may_hold_any_text,
                of_other_users_and_tenants_are_other_requests,
            }
            lease {
                renewed_is_held_longer,
                renewed_tells_of_a_cancel,
                renewed_is_lost_to_a_new_fence_or_the_end,
                renewals_answer_in_order,
                released_can_be_claimed_at_once,
                released_waits_for_its_time,
                released_twice_is_the_same,
                retried_waits_for_its_time,
                retried_twice_counts_once,
                by_an_old_fence_changes_nothing,
                reclaimed_runs_out_at_once,
                reclaimed_is_only_ones_own,
            }
            listing {
                is_newest_first,
                filters_by_everything,
                comes_in_pages,
                stands_still_while_requests_come,
                refuses_a_foreign_cursor,
                refuses_an_empty_page,
            }
            model {
                agrees_on_random_histories,
            }
            outbox {
                holds_what_ended,
                holds_what_was_cancelled,
                holds_only_what_is_announced,
                is_taken_again_once_the_lease_ran_out,
                is_forgotten_once_told,
                is_put_off,
                obeys_the_newest_fence,
                keeps_what_was_given_up,
                lists_what_was_given_up_in_pages,
                passes_over_actions,
                takes_at_most_the_limit,
                forgets_what_is_replayed,
                is_purged,
            }
            purge {
                removes_only_what_ended_and_expired,
                removes_at_most_the_limit,
                frees_the_id,
                loses_the_lease,
            }
            quota {
                bounds_all_tenants_together,
                bounds_each_tenant,
                answers_a_known_id_though_full,
                bounds_promotions,
                is_freed_by_every_end,
                is_held_by_what_waits_again,
                is_taken_again_by_a_replay,
                holds_against_many_at_once,
            }
            replay {
                gives_a_second_chance,
                takes_the_outcome_out_of_the_log,
                is_for_what_failed_only,
                of_nothing_is_not_found,
                ends_the_old_leases_say,
            }
            restart {
                voids_what_no_checkpoint_covers,
                keeps_what_the_checkpoint_covers,
                comes_with_every_attempt_but_the_first,
                supersedes_earlier_ones,
                keeps_the_progress,
            }
            share {
                goes_to_the_tenant_that_runs_the_fewest,
                is_shared_evenly,
                alternates_with_a_single_place,
                counts_only_leases_that_hold,
                ranks_by_priority_within_a_tenant,
                ranks_nothing_between_tenants,
                passes_over_an_action_at_its_bound,
                passes_over_actions_at_their_shared_bound,
                passes_over_a_tenant_without_a_place,
                counts_the_bytes_that_are_kept,
                bounds_the_bytes_of_each_tenant,
                bounds_the_bytes_of_all_together,
                bounds_the_bytes_of_what_runs,
            }
            topics {
                count_their_messages_from_one,
                may_go_on_above_an_offset,
                keep_data_as_it_was,
                are_read_in_pages,
                are_told_apart_by_tenant_and_name,
                answer_a_repeated_append_as_before,
                drop_what_a_source_repeats,
                know_a_message_by_its_key,
                forget_a_key_with_its_message,
                answer_repeated_keys_as_before,
                answer_what_is_known_when_there_is_no_room,
                are_cut_by_their_number,
                are_cut_by_their_bytes,
                expire_and_are_forgotten,
                expire_without_a_gap,
                are_bounded_by_quotas,
                refuse_an_empty_append,
                at_once_by_many_get_each_offset_once,
                agree_on_random_histories,
            }
        }
    };
    (@each $open:expr; $($module:ident { $($test:ident,)* })*) => {
        $(
            mod $module {
                #[allow(unused_imports, reason = "`open` may be a path")]
                use super::*;

                $(
                    #[::tokio::test]
                    async fn $test() {
                        let (store, _guard) = ($open)().await;
                        $crate::$module::$test(::std::sync::Arc::new(store)).await;
                    }
                )*
            }
        )*
    };
}
