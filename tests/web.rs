//! The SDK in a real browser, as a page meets it: the JavaScript API, streams and media elements, and two clients that call each other over a
//! network made up in the page. The behaviours are written as pages are, in `tests/web/*.js`; each has its line here.

#![cfg(target_arch = "wasm32")]

use js_sys::{Array, Function, Object, Promise, Reflect};
use offhook::js::SinchClient;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::*;

wasm_bindgen_test_configure!(run_in_browser);

macro_rules! behaviours {
    ($($file:literal: $($name:ident)+;)+) => { $($(
        #[wasm_bindgen_test]
        async fn $name() {
            run(include_str!($file), stringify!($name)).await;
        }
    )+)+ };
}

behaviours! {
    "web/api.js":
        the_constructor_names_what_is_wrong
        classes_hang_on_the_constructor
        the_server_is_named_in_many_ways
        the_server_of_the_script_is_asked_before_it_is_used
        a_page_without_origin_hears_of_it_at_start
        logins_that_make_no_sense_are_refused
        login_objects_become_credentials
        a_page_can_sign_its_own_ticket
        callbacks_run_before_then
        promises_have_the_methods_of_old
        errors_are_errors
        calling_needs_its_capability
        a_call_with_a_bad_argument_ends_with_the_error
        what_listens_to_nothing_is_told_in_the_console
        headers_that_are_no_object_are_not_sent
        messages_fail_until_they_exist
        users_are_made_at_the_server
        extended_prototypes_break_nothing;
    "web/sessions.js":
        a_second_start_is_refused
        what_waits_at_terminate_is_rejected_at_once
        a_microphone_that_opens_after_terminate_is_closed
        the_active_connection_has_its_rules
        a_token_is_renewed_over_the_same_connection
        a_terminated_client_leaves_nothing
        a_client_terminated_before_it_was_started_does_not_start
        a_start_that_is_meant_is_not_taken_back
        effects_that_run_twice_leave_one_registration
        what_a_terminated_client_was_to_be_told_is_forgotten;
    "web/calls.js":
        two_clients_talk
        candidates_that_come_later_are_taken
        a_refused_call_tells_why
        a_call_that_is_cut_off_tells_why
        what_is_heard_before_the_answer_establishes_the_call
        credit_that_runs_out_is_told
        the_callee_declines
        the_caller_gives_up
        a_call_nobody_listens_to_is_ignored
        listeners_are_called_later_and_apart
        a_refused_microphone_ends_the_call
        what_is_thrown_and_no_error_is_a_sentence_too
        a_refused_microphone_rejects_init_stream
        a_held_microphone_stays_open
        a_muted_call_leaves_others_alone
        a_stream_of_the_page_is_sent
        what_is_over_is_released
        a_page_that_goes_hangs_up
        a_lost_connection_is_told_once
        media_that_is_cut_off_is_made_anew;
    "web/devices.js":
        the_own_stream_plays_as_soon_as_there_is_a_call
        a_stream_that_is_open_is_there_with_its_tracks
        a_track_that_ends_is_replaced_in_all_calls
        a_muted_call_stays_muted_with_another_track
        where_there_is_no_device_the_call_goes_on
        a_page_may_hang_up_when_its_microphone_goes_away
        a_stream_of_the_page_that_ends_is_only_told
        init_stream_replaces_what_calls_send
        a_stream_of_the_page_wins_over_a_microphone_that_is_being_opened
        the_page_is_not_left_for_a_device
        the_camera_of_a_call_is_replaced_beside_the_pages_sound
        a_stream_of_which_a_part_has_ended_is_used
        a_custom_stream_that_has_ended_is_none
        a_stream_of_the_page_ends_the_wait_for_a_prompt
        the_stream_of_an_incoming_call_is_told_once
        a_camera_that_is_allowed_again_is_opened;
    "web/elements.js":
        an_attribute_plays_a_stream
        a_property_plays_a_stream
        jquery_plays_a_stream
        an_element_outside_the_document_plays_a_stream
        new_audio_plays_a_stream
        markup_plays_a_stream
        another_source_takes_the_stream_away
        the_browser_is_as_it_was;
}

/// Runs one function of a file of behaviours. It gets what `harness.js` makes.
async fn run(file: &str, name: &str) {
    let harness: Function = evaluate(include_str!("web/harness.js")).unchecked_into();
    let world = harness.call1(&JsValue::UNDEFINED, &class()).expect("the harness works");
    let behaviour: Function = Reflect::get(&evaluate(file), &name.into()).expect("an object").unchecked_into();
    let done = behaviour.call1(&JsValue::UNDEFINED, &world).expect("an asynchronous function throws nothing");
    let result = JsFuture::from(done.unchecked_into::<Promise>()).await;
    let clean: Function = Reflect::get(&world, &"clean".into()).expect("an object").unchecked_into();
    clean.call0(&JsValue::UNDEFINED).expect("the harness cleans up");
    if let Err(error) = result {
        let field = |key: &str| Reflect::get(&error, &key.into()).ok().and_then(|value| value.as_string()).unwrap_or_default();
        panic!("{name}: {} {}\n{}", field("name"), field("message"), field("stack"));
    }
}

fn evaluate(source: &str) -> JsValue {
    js_sys::eval(source).expect("the file is one expression")
}

/// The class, as a page imports it.
fn class() -> JsValue {
    let config = Object::new();
    Reflect::set(&config, &"applicationKey".into(), &"key".into()).expect("an object");
    let client = JsValue::from(SinchClient::new(&config).expect("a client"));
    let prototype = Object::get_prototype_of(&client);
    let class = Reflect::get(&prototype, &"constructor".into()).expect("an object");
    Reflect::apply(&Reflect::get(&client, &"free".into()).expect("an object").unchecked_into::<Function>(), &client, &Array::new())
        .expect("freed");
    class
}
