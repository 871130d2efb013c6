//! The list of all behaviours, from which their table and their tests are made.

/// Calls a macro with all behaviours of the pool suite: `theme { name, … }`.
#[doc(hidden)]
#[macro_export]
macro_rules! pool_behaviours {
    ([$($then:tt)+] $args:tt) => {
        $($then)+! { $args
            starts {
                a_first_start_is_cold_and_tells_its_times,
                a_returned_sandbox_is_leased_again_at_once,
                two_leases_are_of_two_sandboxes,
                a_sandbox_has_as_many_places_as_its_action_allows,
                a_stem_is_taken_before_a_new_sandbox,
                a_used_stem_is_replaced,
                a_stem_of_another_shape_is_not_taken,
                a_warm_sandbox_is_taken_before_a_stem,
                a_lease_is_of_the_namespace_asked_for,
                a_lease_is_of_the_revision_asked_for,
            }
            waiting {
                a_request_takes_what_frees_up_first,
                a_sandbox_that_nobody_waits_for_any_more_becomes_idle,
                a_request_takes_its_own_when_that_is_first,
                a_cold_start_whose_request_left_becomes_idle,
                a_request_gives_up_at_its_deadline,
                creations_of_one_action_are_bounded_and_in_order,
                the_bound_of_one_action_holds_no_other_up,
            }
            room {
                an_idle_sandbox_makes_room,
                a_request_waits_until_its_victim_is_gone,
                several_victims_make_room_for_one_request,
                a_deadline_ends_the_wait_for_a_victim,
                a_request_without_room_is_refused_at_once,
                a_second_request_of_the_same_action_is_refused_without_room,
                a_request_larger_than_the_budget_is_refused_for_good,
                a_returned_lease_ends_the_wait_for_room,
                a_dropped_lease_ends_the_wait_for_room,
                a_request_that_left_gives_its_room_back,
                stems_make_room_for_requests,
                memory_stays_within_the_budget_under_any_load,
                a_stampede_makes_no_more_sandboxes_than_fit,
            }
            failures {
                a_creation_that_fails_gives_its_room_back,
                a_creation_that_panics_gives_its_room_back,
                a_creation_that_hangs_holds_up_its_own_request_alone,
                an_init_that_fails_tells_the_actions_text,
                an_init_over_the_timeout_tells_so,
                an_init_that_panics_gives_its_room_back,
                a_lost_stem_gives_its_room_back,
                a_dropped_lease_ends_its_sandbox,
                one_dropped_lease_ends_a_shared_sandbox,
                a_destruction_that_hangs_holds_up_its_own_memory_alone,
                a_destruction_that_panics_gives_its_memory_back,
                a_sandbox_that_does_not_resume_is_replaced,
                a_sandbox_that_does_not_pause_is_destroyed,
                failing_stems_hold_no_request_up,
            }
            upkeep {
                an_idle_sandbox_expires,
                use_keeps_a_sandbox_alive,
                a_leased_sandbox_does_not_expire,
                a_paused_sandbox_is_resumed_before_it_runs,
                a_paused_sandbox_expires,
                warming_makes_sandboxes_idle,
                warming_counts_what_is_idle_already,
                warming_is_for_one_namespace,
                warming_evicts_nobody,
                warming_tells_that_init_fails,
                stats_tell_every_state,
                stats_count_starts_by_kind,
            }
            ending {
                removing_destroys_the_idle_sandboxes_of_the_action_alone,
                removing_destroys_a_leased_sandbox_when_it_is_returned,
                a_drained_pool_is_closed,
                draining_waits_until_all_is_destroyed,
                draining_waits_for_leases,
                draining_ends_waiting_requests,
                draining_ends_the_wait_for_room,
            }
        }
    };
}
