"""Every fault, every failure of other gateways and every row of the client contract, with the tests that show it.

A test is named as `file::function`, the file from tests/services/gateway on, or from the root where it starts with
tests/ or bench/. `test_promises.py` finds every one of them; `docs/gateway-promises.md` is this table.
"""

from __future__ import annotations

from dataclasses import dataclass

SIMULATION = "simulation/test_simulation.py::test_two_thousand_seeds_break_no_promise"


@dataclass(frozen=True, slots=True)
class Promise:
    name: str
    kept: str  # what holds, in a few words
    tests: tuple[str, ...]


def _of(name: str, kept: str, *tests: str) -> Promise:
    return Promise(name, kept, tests)


FAULTS: tuple[Promise, ...] = (
    _of(
        "audit store down",
        "503, no upstream call; open outcomes are written when it is back",
        "audit/test_audit_chain.py::test_records_are_refused_while_the_store_is_down_and_taken_when_it_is_back",
        "audit/test_audit_chain.py::test_a_store_lost_under_load_leaves_no_gap_and_no_double",
        "audit/test_audit_chain.py::test_a_chain_started_before_its_store_opens_when_the_store_is_there",
        "faults/test_audit_store.py::test_an_outcome_that_met_a_store_that_was_down_is_written_when_it_is_back",
        "test_pipeline.py::test_without_a_record_nothing_is_called",
        "test_pipeline.py::test_without_an_outcome_record_the_last_byte_stays",
        SIMULATION,
    ),
    _of(
        "audit store slow",
        "costs a second, then 503",
        "audit/test_audit_chain.py::test_a_store_that_hangs_costs_a_second_and_not_more",
        SIMULATION,
    ),
    _of(
        "disk full",
        "503 while it is, taken again when there is room, the chain verifies",
        "faults/test_audit_store.py::test_a_full_disk_refuses_records_and_loses_none",
    ),
    _of(
        "log archive down",
        "no head, no new records; healed by itself; one head a place",
        "audit/test_audit_chain.py::test_records_are_refused_when_heads_cannot_be_stored_and_taken_when_they_can",
        "faults/test_audit_store.py::test_a_head_whose_answer_was_lost_is_the_head_and_sealing_goes_on",
        SIMULATION,
    ),
    _of(
        "Valkey down",
        "503 without a call, healed by itself",
        "test_whole_app.py::test_a_stopped_valkey_is_503_without_a_call_and_heals",
        "limits/test_limits.py::test_a_restarted_valkey_is_used_again_without_help",
        "limits/test_limits.py::test_while_valkey_is_down_it_is_not_ready",
        SIMULATION,
    ),
    _of(
        "Valkey slow or hung",
        "a deadline and a breaker: next to no time",
        "limits/test_limits.py::test_a_valkey_that_hangs_costs_next_to_no_time",
        "limits/test_limits.py::test_a_place_taken_by_a_call_that_was_never_answered_is_given_back",
        "limits/test_limits.py::test_a_release_that_failed_is_made_up_for",
        "limits/test_breaker.py::test_failures_in_a_row_open_it_and_success_between_does_not_count",
        SIMULATION,
    ),
    _of(
        "PostgreSQL down or restarted",
        "503 without a call, no pass without money, healed by itself",
        "test_whole_app.py::test_a_stopped_database_is_503_without_a_call_and_heals",
        "ledger/test_ledger.py::test_without_the_database_there_is_no_money_and_nothing_is_lost",
        "migrations/test_database.py::test_a_lost_connection_is_replaced",
        "ingestion/test_ingest.py::test_the_service_heals_when_its_database_comes_back",
        SIMULATION,
    ),
    _of(
        "PostgreSQL slow",
        "costs the deadline",
        "migrations/test_database.py::test_a_server_that_hangs_costs_the_deadline",
        "migrations/test_database.py::test_a_cancelled_user_does_not_leave_a_busy_connection_behind",
        SIMULATION,
    ),
    _of(
        "KMS down or slow",
        "no signature, no new records; no hash, no request; healed by itself",
        "faults/test_audit_store.py::test_without_signatures_records_are_refused_and_with_them_again_taken",
        "audit/test_prompt_hash.py::test_without_kms_there_is_no_hash_and_with_it_again_there_is",
        "adapters/test_bedrock_model.py::test_without_credentials_nothing_is_sent",
        SIMULATION,
    ),
    _of(
        "OIDC keys unreachable",
        "503 for strangers, known keys live on for a bounded time, healed by itself",
        "adapters/test_oidc_identity.py::test_a_provider_that_is_down_with_no_key_known_is_503_and_heals",
        "adapters/test_oidc_identity.py::test_known_keys_outlive_an_outage_of_up_to_an_hour",
        "adapters/test_oidc_identity.py::test_an_outage_opens_no_door_to_another_key",
        "test_whole_app.py::test_a_stopped_issuer_gives_no_stranger_a_pass",
    ),
    _of(
        "OIDC keys slow",
        "one fetch for all who wait, confirmed in the background",
        "adapters/test_oidc_identity.py::test_many_first_requests_share_one_fetch",
        "adapters/test_oidc_identity.py::test_a_key_in_use_is_confirmed_in_the_background",
    ),
    _of(
        "OIDC keys garbage",
        "nobody passes",
        "adapters/test_oidc_identity.py::test_keys_that_make_no_sense_let_nobody_pass",
        "adapters/test_oidc_identity.py::test_metadata_of_another_issuer_is_not_believed",
        "adapters/test_oidc_identity.py::test_metadata_cannot_point_keys_at_an_unsafe_place",
    ),
    _of(
        "upstream refused",
        "502, asked for nothing",
        "adapters/test_openai_model.py::test_an_unreachable_server_is_502",
        "adapters/test_bedrock_model.py::test_an_unreachable_bedrock_is_502",
    ),
    _of(
        "upstream hung or slow",
        "bridged by comments, ended by deadline or by the caller",
        "faults/test_hung_upstream.py::test_a_server_that_falls_silent_is_given_up",
        "test_edge.py::test_a_silent_model_is_bridged_by_comments",
        "test_edge.py::test_a_caller_who_hangs_up_on_a_whole_answer_ends_the_call",
        "adapters/test_openai_model.py::test_leaving_early_hangs_up_on_the_server",
        SIMULATION,
    ),
    _of(
        "upstream erroring, redirecting, garbage",
        "502 without its words; a redirect is not followed",
        "adapters/test_openai_model.py::test_what_breaks_is_502_without_the_servers_words",
        "adapters/test_bedrock_model.py::test_what_breaks_is_502_without_bedrocks_words",
        "adapters/test_sagemaker_model.py::test_what_breaks_is_502_without_sagemakers_words",
        "test_whole_app.py::test_a_failing_model_server_is_502_in_openais_shape_without_its_words",
        "fuzz/test_upstream_frames.py::test_no_events_of_openais_api_break_the_gateway_or_let_a_secret_out",
        "fuzz/test_upstream_frames.py::test_no_frames_of_bedrock_break_the_gateway_or_let_a_secret_out",
    ),
    _of(
        "upstream half-closed",
        "an error and no end",
        "faults/test_hung_upstream.py::test_a_server_that_closes_its_half_has_failed",
        "adapters/test_openai_model.py::test_what_breaks_is_502_without_the_servers_words",
        "clients/test_openai_sdk.py::test_a_fault_in_the_middle_of_a_stream_is_raised_and_not_an_end",
    ),
    _of(
        "upstream huge",
        "cut at what was asked for, paid for what came",
        "adapters/test_openai_model.py::test_an_answer_without_end_is_cut",
        "test_pipeline.py::test_a_backend_that_does_not_stop_is_stopped_and_paid_for_what_it_sent",
    ),
    _of(
        "upstream gzip bomb",
        "never unpacked",
        "adapters/test_openai_model.py::test_a_compressed_answer_is_never_unpacked",
    ),
    _of(
        "upstream TLS 1.2 only",
        "refused",
        "adapters/test_tls.py::test_a_22_only_tls_1_3_is_spoken",
        "adapters/test_tls.py::test_a_certificate_nobody_vouches_for_is_refused",
    ),
    _of(
        "one of several calls for a prompt",
        "it fails or is blocked: the others end, all that was used is paid, one end on the record",
        "stages/test_choices.py::test_a_call_that_fails_ends_the_others_and_all_that_was_used_is_paid",
        "stages/test_choices.py::test_a_choice_that_is_blocked_ends_all_of_them",
        "stages/test_choices.py::test_of_a_whole_answer_with_a_blocked_choice_no_text_leaves_at_all",
        "stages/test_choices.py::test_without_an_outcome_record_the_last_end_of_all_stays",
        "stages/test_choices.py::test_the_worst_case_is_that_of_all_answers",
        "test_edge.py::test_a_caller_who_hangs_up_ends_the_calls_of_all_choices",
        SIMULATION,
    ),
    _of(
        "client disconnects",
        "the call ends, money and place come back, one outcome",
        "test_pipeline.py::test_hanging_up_at_any_moment_is_written_down_once",
        "test_pipeline.py::test_hanging_up_ends_the_call_and_pays_for_what_came",
        "limits/test_limits.py::test_a_caller_who_goes_away_while_being_admitted_holds_no_place",
        "ledger/test_ledger.py::test_a_caller_who_goes_away_while_reserving_leaves_nothing_behind",
        SIMULATION,
    ),
    _of(
        "client reads slowly or never",
        "who reads late gets everything, who never reads is cut off",
        "test_hostile_clients.py::test_a_client_who_never_reads_is_cut_off",
        "test_hostile_clients.py::test_a_client_who_reads_late_gets_everything",
    ),
    _of(
        "client smuggles (CL+TE, obs-fold, chunks)",
        "400 and the line cut",
        "test_hostile_clients.py::test_what_could_be_read_in_two_ways_is_refused_and_the_line_cut",
        "test_hostile_clients.py::test_a_length_that_cannot_be_is_refused_and_written_down",
        "faults/test_chunked_bodies.py::test_chunks_that_could_be_read_in_two_ways_reach_no_model",
        "faults/test_chunked_bodies.py::test_chunks_as_they_should_be_are_read",
    ),
    _of(
        "giant or deep JSON, duplicate keys, invalid UTF-8",
        "400 or 413, one refusal, no call",
        "test_bad_input.py::test_bad_input_is_refused_once_and_goes_nowhere",
        "test_bad_input.py::test_a_body_that_lies_about_its_length_is_cut_off",
        "fuzz/test_bodies.py::test_no_bytes_at_all_break_the_gateway",
    ),
    _of(
        "the clock jumps",
        "the store's own time decides; a record from the future is named",
        "audit/test_verification.py::test_a_record_from_the_future_is_a_fault",
        "ledger/test_ledger.py::test_what_is_settled_after_midnight_is_booked_on_the_day_and_month_of_its_reservation",
        SIMULATION,
    ),
    _of(
        "SIGTERM",
        "streams end, new callers are refused, everything is on the record",
        "test_drain.py::test_streams_end_new_callers_are_refused_and_everything_is_on_the_record",
        "test_command.py::test_serve_is_alive_but_not_ready_without_its_parts_and_ends_in_order",
        "ingestion/test_ingest.py::test_the_service_ingests_what_arrives_and_ends_in_order_on_sigterm",
    ),
    _of(
        "kill -9",
        "unknown outcomes are written by the next gateway, money counts as spent",
        "audit/test_recovery.py::test_the_next_writer_says_which_outcomes_are_unknown_and_all_verifies",
        "audit/test_recovery.py::test_of_two_next_writers_one_recovers",
        "ledger/test_ledger.py::test_a_reservation_nobody_settled_counts_as_spent",
        "limits/test_limits.py::test_a_place_is_kept_by_renewing_and_lost_without",
        SIMULATION,
    ),
    _of(
        "anything at once, by seed",
        "money, places, records and answers hold; a broken part is noticed",
        SIMULATION,
        "simulation/test_simulation.py::test_a_broken_part_is_noticed",
        "simulation/test_simulation.py::test_a_seed_is_replayed_to_the_byte",
        "simulation/test_faithfulness.py::test_the_audit_chains_statements",
        "simulation/test_faithfulness.py::test_the_ledgers_statements",
        "simulation/test_faithfulness.py::test_the_limiters_script",
    ),
)

PAIN_POINTS: tuple[Promise, ...] = (
    _of("1 memory", "nothing grows with requests", "test_edge.py::test_nothing_grows_with_the_number_of_requests"),
    _of("2 latency", "the gateway's own share is told", "test_edge.py::test_the_gateways_own_share_is_named"),
    _of(
        "3 guardrails on streams",
        "no split lets a secret out",
        "stages/test_output_validation.py::test_no_split_lets_a_secret_out",
        "stages/test_output_validation.py::test_one_character_at_a_time_lets_no_secret_out",
        "stages/test_streams_never_leak.py::test_at_any_place_and_in_any_pieces_no_value_leaves",
        "stages/test_choices.py::test_at_any_split_and_any_interleaving_no_value_leaves_in_any_choice",
        "stages/test_choices.py::test_what_another_choice_says_changes_nothing_of_a_choice",
    ),
    _of(
        "4 fail-open on error",
        "a detector that fails blocks",
        "stages/test_output_validation.py::test_a_detector_that_fails_stops_the_answer",
        "stages/test_prompt_governance.py::test_what_cannot_be_masked_is_refused",
        "test_edge.py::test_an_unforeseen_failure_says_nothing_and_is_recorded",
    ),
    _of(
        "5 de-anonymising",
        "values come back at every split, to their own caller only",
        "stages/test_output_validation.py::test_the_callers_own_value_comes_back_at_every_split",
        "stages/test_placeholders.py::test_two_requests_never_share_a_placeholder",
        "test_edge.py::test_two_callers_at_once_get_each_their_own_values",
    ),
    _of(
        "6 tool calls",
        "a forbidden call never leaves, an allowed one leaves whole",
        "stages/test_output_validation.py::test_a_call_that_is_not_allowed_never_leaves",
        "adapters/test_openai_model.py::test_tool_calls_in_fragments_become_whole",
    ),
    _of(
        "7 budget race",
        "a budget for 3 admits 3, also in two processes",
        "ledger/test_ledger.py::test_of_200_requests_at_once_a_budget_for_3_admits_3",
        "ledger/test_ledger.py::test_of_200_requests_in_two_processes_a_budget_for_3_admits_3",
        SIMULATION,
    ),
    _of(
        "8 spend lost on disconnect",
        "what was generated is paid",
        "test_pipeline.py::test_hanging_up_ends_the_call_and_pays_for_what_came",
        "test_pipeline.py::test_hanging_up_on_a_whole_answer_pays_the_worst_case",
        "stages/test_choices.py::test_hanging_up_ends_all_calls_and_pays_for_what_came_of_each",
        SIMULATION,
    ),
    _of(
        "9 unknown price",
        "no start",
        "faults/test_unknown_price.py::test_a_model_without_a_price_is_no_start",
        "faults/test_unknown_price.py::test_the_same_catalogue_with_prices_is_accepted",
    ),
    _of(
        "10 database dependence",
        "503, never 401; not ready; healed by itself",
        "test_whole_app.py::test_a_stopped_database_is_503_without_a_call_and_heals",
        "test_whole_app.py::test_it_starts_before_its_parts_and_heals_when_they_come",
    ),
    _of(
        "11 slow Redis",
        "next to no time",
        "limits/test_limits.py::test_a_valkey_that_hangs_costs_next_to_no_time",
    ),
    _of(
        "12 SSRF and key theft",
        "an address is no field; keys and images come from where settings say",
        "clients/test_openai_sdk.py::test_a_knob_that_is_not_the_callers_is_refused_by_name",
        "clients/test_openai_sdk.py::test_an_image_from_elsewhere_is_refused",
        "adapters/test_oidc_identity.py::test_metadata_cannot_point_keys_at_an_unsafe_place",
        "faults/test_no_address_of_a_callers.py::test_nobody_dials_where_a_caller_points",
    ),
    _of(
        "13 authentication",
        "a token that does not hold is 401",
        "adapters/test_oidc_identity.py::test_a_token_that_does_not_hold_is_401",
        "adapters/test_oidc_identity.py::test_each_issuer_has_its_own_algorithms",
        "test_bad_input.py::test_two_authorization_headers_are_none",
    ),
    _of(
        "13b JWKS",
        "one fetch for 1,000 unknown keys; known keys outlive an outage",
        "adapters/test_oidc_identity.py::test_1000_unknown_key_ids_cause_one_fetch_in_30_s",
        "adapters/test_oidc_identity.py::test_known_keys_outlive_an_outage_of_up_to_an_hour",
    ),
    _of(
        "14 row-level security with vectors",
        "another tenant changes neither rows nor pages read",
        "documents/test_retrieval_under_rls.py::test_five_thousand_rows_of_another_tenant_change_neither_result_nor_pages_read",
        "documents/test_retrieval_under_rls.py::test_b_21_a_connection_that_does_not_say_for_whom_gets_an_error",
        "documents/test_retrieval_under_rls.py::test_b_21_the_owner_sees_no_row_even_when_it_says_for_whom",
    ),
    _of(
        "15 telemetry leaks",
        "no text, name, token or header in any sink",
        "test_telemetry.py::test_no_text_name_token_or_header_is_in_any_span_or_figure",
        "test_logs.py::test_an_unknown_field_is_not_printed",
        "test_operations_port.py::test_figures_name_nobody",
        "test_pipeline.py::test_c_10_whatever_is_asked_is_in_no_record",
    ),
    _of(
        "16 detector bypass",
        "no comment switches a detector off; linear time",
        "detectors/test_credentials.py::test_a_comment_that_allows_a_secret_has_no_effect",
        "detectors/test_text_views.py::test_no_text_takes_more_than_linear_time",
    ),
    _of(
        "17 supply chain",
        "the suite reaches this machine only; the software's digest is on the chain",
        "tests/test_network_guard.py::test_a_foreign_address_is_refused_before_a_packet_leaves",
        "faults/test_locked_packages.py::test_every_package_is_locked_by_hash_from_the_index_everybody_knows",
    ),
    _of(
        "18 audit chain",
        "every change is found; two writers; kill -9",
        "audit/test_tampering.py::test_tampering_is_found_and_the_first_bad_place_named",
        "audit/test_verification.py::test_c_9_a_cut_tail_is_found",
        "audit/test_audit_chain.py::test_two_writers_write_two_chains_that_verify",
        "audit/test_recovery.py::test_the_next_writer_says_which_outcomes_are_unknown_and_all_verifies",
        "audit/test_tampering.py::test_the_auditor_can_verify_and_can_change_nothing",
    ),
)

CLIENT_CONTRACT: tuple[Promise, ...] = (
    _of(
        "error body",
        "message, type, param, code",
        "clients/test_openai_sdk.py::test_an_error_has_message_type_param_and_code",
        "clients/test_raw_http.py::test_every_error_has_openais_shape_and_a_request_id",
    ),
    _of(
        "status map",
        "the exceptions the SDK knows",
        "clients/test_openai_sdk.py::test_a_failure_is_the_exception_the_sdk_knows_and_asked_again_only_where_that_helps",
    ),
    _of(
        "retries",
        "asked again only where that helps",
        "test_openai_sdk.py::test_an_exhausted_budget_is_not_retried_and_a_rate_limit_is",
        "clients/test_raw_http.py::test_a_part_that_is_down_is_503_with_a_time",
        "clients/test_raw_http.py::test_an_exhausted_budget_says_not_to_come_back",
    ),
    _of(
        "request id",
        "the gateway's own, always",
        "clients/test_raw_http.py::test_a_request_id_is_the_gateways_own_and_the_callers_is_only_noted",
    ),
    _of("SSE", "written as SDKs expect it", "clients/test_raw_http.py::test_a_stream_is_written_as_sdks_expect_it"),
    _of(
        "mid-stream",
        "a stop by policy is an end, a fault is none",
        "clients/test_openai_sdk.py::test_a_stop_by_policy_in_the_middle_is_an_end_with_its_reason_and_usage",
        "clients/test_raw_http.py::test_a_broken_stream_ends_in_an_error_and_without_done",
    ),
    _of(
        "include_usage",
        "asked upstream, stripped unless wanted",
        "clients/test_openai_sdk.py::test_usage_is_asked_of_the_backend_and_stripped_unless_wanted",
        "clients/test_openai_sdk.py::test_wanted_usage_is_one_last_chunk_without_choices",
    ),
    _of(
        "deltas",
        "role and names once, one id",
        "clients/test_openai_sdk.py::test_the_role_is_in_the_first_delta_only",
        "clients/test_openai_sdk.py::test_every_chunk_has_the_same_id_time_and_model",
    ),
    _of(
        "vLLM",
        "a missing tool id is made",
        "clients/test_openai_sdk.py::test_a_tool_call_without_an_id_of_the_backend_gets_one",
    ),
    _of(
        "Bedrock Converse",
        "both ways",
        "clients/test_openai_sdk.py::test_a_conversation_with_tool_results_reaches_the_backend_in_its_own_words",
        "adapters/test_bedrock_model.py::test_turns_alternate_and_tool_results_are_the_users",
        "adapters/test_bedrock_model.py::test_offered_tools_are_sent",
    ),
    _of(
        "max tokens",
        "either name, never above the role's",
        "clients/test_openai_sdk.py::test_either_name_of_the_limit_reaches_the_backend_under_its_own",
        "clients/test_openai_sdk.py::test_two_limits_that_differ_are_refused_and_equal_ones_are_not",
    ),
    _of(
        "embeddings",
        "numbers and base64; texts and token ids",
        "clients/test_openai_sdk.py::test_embeddings_as_base64_and_as_numbers",
        "clients/test_langchain.py::test_embeddings_of_texts",
    ),
    _of(
        "/v1/models",
        "of the role, nothing behind them",
        "clients/test_openai_sdk.py::test_models_are_those_of_the_role_and_name_nothing_behind_them",
    ),
    _of(
        "Responses API",
        "the stateless part",
        "clients/test_responses.py::test_a_streamed_response_is_the_whole_one_in_numbered_events",
        "clients/test_responses.py::test_what_would_need_a_memory_is_refused_by_name",
        "clients/test_responses.py::test_a_tool_that_somebody_else_runs_is_refused",
    ),
    _of(
        "n",
        "up to 4 choices, each its own chunks and end, one usage; no other endpoint knows it",
        "clients/test_choices.py::test_a_whole_answer_has_its_choices_in_order_and_the_usage_of_all",
        "clients/test_choices.py::test_the_chunks_of_a_stream_say_whose_they_are",
        "clients/test_choices.py::test_usage_comes_once_and_last",
        "clients/test_choices.py::test_langchain_makes_a_generation_of_each_choice",
        "clients/test_choices.py::test_how_many_is_told_where_it_is_too_many_or_no_number",
        "clients/test_choices.py::test_no_other_endpoint_knows_it",
    ),
    _of(
        "guard knobs in the body",
        "refused by name",
        "clients/test_openai_sdk.py::test_a_knob_that_is_not_the_callers_is_refused_by_name",
    ),
    _of(
        "other fields",
        "each decided",
        "clients/test_openai_sdk.py::test_an_image_from_elsewhere_is_refused",
        "clients/test_openai_sdk.py::test_harmless_wishes_are_accepted",
        "test_bad_input.py::test_bad_input_is_refused_once_and_goes_nowhere",
    ),
    _of(
        "LiteLLM client",
        "answers and exceptions",
        "clients/test_litellm.py::test_a_whole_answer",
        "clients/test_litellm.py::test_failures_are_the_exceptions_it_knows",
    ),
    _of(
        "LangChain",
        "chat, tools, structure",
        "clients/test_langchain.py::test_a_streamed_answer",
        "clients/test_langchain.py::test_structured_output_by_schema",
    ),
)

SECTIONS: dict[str, tuple[Promise, ...]] = {
    "Faults": FAULTS,
    "What fails in other gateways": PAIN_POINTS,
    "What clients rely on": CLIENT_CONTRACT,
}
