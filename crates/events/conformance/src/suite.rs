//! The lists of tests.

/// Expands to one named test per promise of a sink of documents. `open` is an async function without arguments that
/// returns a fresh sink, as [`sink::Documents`](crate::sink::Documents), and whatever must outlive it; or none if the
/// component that it needs is not there, which it has said itself. The caller depends on `tokio`.
#[macro_export]
macro_rules! sink_suite {
    ($open:expr) => {
        $crate::suite! { @each sink $open;
            applying {
                makes_and_changes_documents,
                keeps_every_kind_of_value,
                does_every_edit,
                repeated_changes_nothing,
                replayed_with_other_boundaries_applies_the_rest,
                from_two_partitions_in_turn_applies_both,
                known_elsewhere_is_not_applied_again,
                waits_for_the_insert,
                leaves_a_tombstone,
                refuses_a_group_as_a_whole,
                passes_what_is_left_out,
                refuses_what_waited_in_its_own_name,
                takes_many_documents_at_once,
                takes_more_bytes_than_one_message_holds,
                refuses_a_document_that_is_too_large,
                from_two_partitions_at_once_loses_nothing,
            }
            ledger {
                keeps_the_adopted_life,
                recalls_every_position,
                recalls_many_at_once,
            }
            letters {
                are_buried_once,
                come_in_pages,
                are_discarded,
            }
            model {
                agrees_on_random_histories,
            }
        }
    };
}

/// Expands to one named test per promise of a sink that knows no documents: it hands events on. `open` is an async
/// function without arguments that returns a fresh [`outlet::Outlet`](crate::outlet::Outlet) and whatever must outlive it,
/// or none, as in [`sink_suite!`].
#[macro_export]
macro_rules! outlet_suite {
    ($open:expr) => {
        $crate::suite! { @each outlet $open;
            handing_on {
                every_event_in_its_order,
                repeated_changes_nothing,
                with_other_boundaries_hands_on_the_rest,
                from_two_partitions_hands_on_both,
                known_elsewhere_is_not_handed_on_again,
                refuses_in_the_events_name_and_hands_on_the_others,
                passes_what_is_left_out,
                takes_many_events_at_once,
            }
        }
    };
}

/// Expands to one named test per promise of a source. `open` is an async function without arguments that returns a
/// fresh [`source::Place`](crate::source::Place) and whatever must outlive it, or none, as in [`sink_suite!`].
#[macro_export]
macro_rules! source_suite {
    ($open:expr) => {
        $crate::suite! { @each source $open;
            reading {
                gives_changes_in_commit_order,
                waits_for_a_change,
                keeps_to_the_limit,
                dropped_loses_nothing,
            }
            confirming {
                what_is_not_confirmed_comes_again_where_it_was,
                what_is_confirmed_does_not_come_again,
                part_of_it_brings_the_rest_again,
                nothing_is_the_same_as_not_reading,
            }
            snapshot {
                brings_what_was_there_before,
                goes_over_into_the_stream_without_a_gap,
                interrupted_begins_again_and_says_what_may_be_known,
                of_nothing_ends_at_once,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! suite {
    (@each $of:ident $open:expr; $($module:ident { $($test:ident,)* })*) => {
        $(
            mod $module {
                #[allow(unused_imports, reason = "`open` may be a path")]
                use super::*;

                $(
                    #[::tokio::test]
                    async fn $test() {
                        let Some((opened, _guard)) = ($open)().await else { return };
                        $crate::$of::$module::$test(::std::sync::Arc::new(opened)).await;
                    }
                )*
            }
        )*
    };
}
