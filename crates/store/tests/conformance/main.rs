//! One suite, run against both engines: what is in `cases` holds for whichever is underneath.

mod bench;
mod blobs;
mod cases;
mod fence;
mod postgres_only;
mod sqlite_only;

/// Makes each case a test of each engine.
macro_rules! both {
    ($($module:ident: $($case:ident)+;)+) => {
        mod sqlite { $( mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::cases::$module::$case(crate::bench::Bench::sqlite()).await;
            }
        )+ } )+ }
        mod postgres { $( mod $module { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::cases::$module::$case(crate::bench::Bench::postgres().await).await;
            }
        )+ } )+ }
    };
}

both! {
    transactions:
        concurrent_writes_share_commits
        a_failing_closure_rolls_back_alone
        a_swallowed_error_still_rolls_back
        a_panic_is_answered_and_survived
        a_read_is_one_snapshot
        a_read_sees_every_answered_write
        a_read_cannot_write
        writes_take_effect_one_after_the_other
        an_abandoned_write_still_happens
        closing_finishes_what_is_queued;
    statements:
        values_come_back_as_they_went_in
        parameters_out_of_order_are_refused
        a_wrong_number_of_parameters_is_refused
        a_text_with_nul_is_refused
        a_unique_violation_is_already_exists
        another_violation_is_a_constraint
        sums_and_counts_are_integers
        texts_compare_by_bytes
        an_engine_s_own_text_is_used
        too_many_rows_are_refused
        a_statement_that_does_not_end_is_ended;
    records:
        insert_get_update_delete
        insert_of_a_taken_key_changes_nothing
        update_at_an_old_revision_conflicts
        put_counts_revisions
        listing_pages_by_prefix
        keys_sort_part_by_part
        bad_keys_are_refused
        old_records_are_upgraded
        newer_records_are_refused
        damaged_records_are_told;
    ownership:
        a_second_owner_is_refused_and_told_of_the_first
        what_is_closed_can_be_owned
        a_failed_opening_owns_nothing
        guests_are_let_in_beside_the_owner;
    schema:
        a_database_is_migrated_with_its_data
        a_newer_database_is_refused
        another_history_is_refused
        a_failing_migration_leaves_nothing
        gaps_are_refused
        many_open_at_once;
}
