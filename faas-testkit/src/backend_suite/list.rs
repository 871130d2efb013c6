//! The list of all behaviours, from which their table and their tests are made.

/// Calls a macro with all behaviours of the backend suite: `theme { name [needs], … }`.
#[doc(hidden)]
#[macro_export]
macro_rules! backend_behaviours {
    ([$($then:tt)+] $args:tt) => {
        $($then)+! { $args
            outcomes {
                an_object_result_is_a_success,
                an_array_result_is_a_success,
                nothing_returned_is_an_empty_object,
                an_err_is_an_application_error_with_its_text,
                an_err_shows_the_top_text_only,
                a_structured_err_keeps_its_structure,
                an_error_field_is_an_application_error_and_all_else_is_dropped,
                an_error_field_may_hold_any_json,
                a_panic_is_a_developer_error_with_its_message,
                a_panic_after_an_await_is_a_developer_error,
                a_panic_without_a_text_is_a_developer_error,
                a_scalar_result_is_a_developer_error_that_shows_it,
                a_result_that_cannot_be_encoded_is_a_developer_error,
                a_result_that_nests_too_deep_is_a_developer_error,
                a_result_of_the_largest_size_is_kept [large_payloads],
                a_larger_result_is_an_application_error_that_tells_the_sizes,
                an_input_that_does_not_fit_is_an_application_error,
                every_class_of_outcome_has_a_record,
            }
            inputs {
                no_input_is_an_empty_object,
                an_action_without_input_accepts_any_object,
                every_character_survives_both_ways,
                numbers_keep_their_value,
                the_deepest_payload_arrives,
                the_largest_payload_arrives_whole [large_payloads],
                a_larger_payload_is_refused,
                an_array_from_outside_is_refused,
                a_backend_passes_an_array_on,
                default_parameters_lie_under_the_payload,
            }
            limits {
                an_awaiting_action_is_stopped_at_its_timeout,
                a_blocking_action_has_its_record_at_its_timeout,
                a_result_after_the_timeout_is_ignored,
                a_loop_that_never_awaits_is_stopped [stops_cpu_loop],
                an_unmarked_blocking_action_is_stopped [stops_cpu_loop],
                an_action_within_its_timeout_is_left_alone,
                each_run_has_the_whole_timeout,
                memory_within_the_limit_is_given_each_time,
                memory_over_the_limit_ends_the_action [enforces_memory],
                many_small_pieces_over_the_limit_end_the_action [enforces_memory],
                an_exit_with_success_is_a_developer_error [survives_exit],
                an_exit_with_a_failure_is_a_developer_error [survives_exit],
                an_abort_is_a_developer_error [survives_exit],
                a_stack_overflow_is_a_developer_error [survives_exit],
                a_timeout_beyond_the_longest_is_refused [bounds_timeouts],
                an_action_without_code_is_refused,
            }
            logs {
                events_become_lines_in_order,
                the_level_leads_the_line_and_chooses_the_stream,
                fields_follow_the_message,
                verbose_events_are_not_recorded,
                the_invocation_chooses_the_recorded_level,
                logs_are_cut_at_their_limit_with_a_notice,
                a_line_longer_than_the_limit_is_cut,
                logs_that_fit_get_no_notice,
                a_log_limit_of_zero_keeps_nothing,
                control_characters_are_inert,
                a_fake_sentinel_is_an_ordinary_line,
                unicode_in_logs_is_kept,
                concurrent_activations_keep_their_logs_apart,
                an_action_that_fails_keeps_its_logs,
                an_action_that_panics_keeps_its_logs [keeps_logs_after_kill],
                an_action_that_timed_out_keeps_its_logs [keeps_logs_after_kill],
                raw_output_is_in_the_logs [captures_stdout],
                raw_errors_are_in_the_logs [captures_stdout],
                raw_output_without_a_newline_is_a_line [captures_stdout],
                raw_output_that_is_no_text_stays_valid [captures_stdout],
            }
            context {
                the_action_sees_the_id_of_its_record,
                a_retried_action_sees_the_number_of_its_attempt,
                an_action_without_retries_has_one_attempt,
                the_remaining_time_starts_at_the_timeout_and_shrinks,
                the_clock_is_about_right,
                a_sleep_takes_at_least_its_time,
                random_numbers_differ,
                the_action_sees_its_name_and_limits,
                the_environment_is_the_specifications_alone,
                the_environment_stays_out_of_records_and_errors,
                the_hosts_process_environment_is_out_of_reach [isolates],
            }
            state {
                init_sees_the_environment,
                state_is_built_once_and_shared_by_later_runs [reuses_instances],
                a_fresh_instance_remembers_nothing [fresh_instances],
                an_application_error_keeps_the_state [reuses_instances],
                a_failed_run_ends_its_sandbox,
                namespaces_never_share_state,
                actions_never_share_state,
                revisions_never_share_state,
                a_failed_init_is_a_developer_error,
                a_panicking_init_is_a_developer_error,
                an_init_over_the_timeout_is_a_developer_error,
                an_action_works_again_after_it_panicked,
            }
            outbox {
                a_success_brings_its_events_in_order,
                an_application_error_emits_nothing,
                a_panic_emits_nothing,
                a_timeout_emits_nothing,
                an_emitted_event_fires_its_trigger,
                a_bad_event_is_refused_where_it_is_emitted,
            }
            starts {
                the_first_start_is_cold_and_later_ones_are_warm [reuses_instances],
                the_init_time_is_that_of_init_and_is_billed,
                the_run_time_is_that_of_the_action,
                the_bill_is_init_and_run_rounded_up,
                failed_activations_are_billed,
                the_cost_is_memory_times_billed_time,
                start_and_end_enclose_the_run,
                the_record_tells_what_ran_where,
                a_backend_tells_its_name_and_its_room,
                a_warmed_action_starts_warm [prewarms, reuses_instances],
                warming_again_makes_nothing_new [prewarms],
                warming_tells_that_init_fails [prewarms],
            }
            concurrency {
                parallel_invocations_have_each_their_own_result,
                parallel_invocations_overlap,
                failures_do_not_touch_their_neighbours,
                blocking_actions_hold_nobody_up,
                an_action_may_run_several_times_in_one_sandbox,
            }
            lifecycle {
                a_fresh_backend_is_healthy,
                an_action_can_be_deployed_again,
                two_revisions_run_side_by_side,
                a_deployment_of_another_backend_is_refused,
                a_removed_action_leaves_no_sandbox [pooled, reuses_instances],
                removing_lets_a_running_invocation_end,
                a_deleted_action_is_not_found,
                an_update_takes_effect_at_once,
                a_left_invocation_leaks_nothing,
                a_left_run_does_not_go_on [stops_left_runs],
                a_left_cold_start_leaks_nothing,
                a_left_invocation_has_a_record,
                an_action_works_again_after_it_timed_out,
                a_backend_that_shut_down_is_closed,
                a_shutdown_can_be_repeated,
                a_platforms_shutdown_lets_running_work_end,
            }
        }
    };
}
