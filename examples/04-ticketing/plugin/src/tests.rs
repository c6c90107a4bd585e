//! Tests of the plugin, native, on tables in memory.

use super::*;
use esclusa_plugin::testing::{self, NewEvent, Tables, show};
use esclusa_plugin::{Effects, Item};

const EVENTOS: &str = r#"{"domain":"eventos","table":"eventos","index":"estado"}"#;
const RESERVAS: &str = r#"{"domain":"reservas","table":"inventario","index":"evento-email"}"#;
const AIDA: &str = r#"{"evento":"Opera Aida","capacidad":30,"categoria":"Opera"}"#;

fn tables() -> Tables {
    let tables = Tables::new().table("eventos", &["PK"]).index("eventos", "estado", &["Estado", "PK"]);
    tables.table("inventario", &["PK", "SK"]).index("inventario", "evento-email", &["Evento", "Email"])
}

fn with_aida(state: &'static str, left: u32) -> Tables {
    let aida = Item::new().with("PK", "E").with("SK", "Opera Aida").with("Estado", state);
    tables().item("inventario", aida.with("Capacidad", left).with("Categoria", "Opera"))
}

fn batch(requests: &[(&str, &str, String)]) -> Batch {
    let ids: Vec<String> = (1..=requests.len()).map(|id| id.to_string()).collect();
    let endpoints: Vec<String> = requests.iter().map(|(method, path, _)| format!("{method} /domain{path}")).collect();
    let attributes: Vec<_> = endpoints.iter().map(|endpoint| [("endpoint", endpoint.as_str())]).collect();
    let parts = requests.iter().zip(&ids).zip(&attributes);
    let events: Vec<_> = parts
        .map(|(((_, _, body), id), attributes)| NewEvent {
            id,
            data: body.as_bytes(),
            attributes,
            timestamp: 1_638_761_644_000,
            ..NewEvent::default()
        })
        .collect();
    testing::events_of(&events)
}

fn answers(out: &Effects<'_>) -> Vec<(u16, String)> {
    out.replies().iter().map(|reply| (reply.status, String::from_utf8_lossy(&reply.body).into_owned())).collect()
}

/// Handles requests as one batch, carries the effects out, and gives the answers.
fn ask(config: &str, tables: &mut Tables, requests: &[(&str, &str, String)]) -> Vec<(u16, String)> {
    let (plugin, batch): (Ticketing, _) = (testing::plugin(config), batch(requests));
    let out = testing::with_tables(tables, || testing::call(&plugin, &batch));
    tables.apply(&out).unwrap();
    answers(&out)
}

fn reserve(seats: u32) -> (&'static str, &'static str, String) {
    ("POST", "/", format!(r#"{{"evento":"Opera Aida","cantidad":{seats},"email":"avaco.digital@gmail.com"}}"#))
}

fn get(path: &str) -> (&'static str, &str, String) {
    ("GET", path, String::new())
}

fn delete(path: &str) -> (&'static str, &str, String) {
    ("DELETE", path, String::new())
}

fn seats(tables: &Tables) -> i64 {
    let event = tables.items("inventario").iter().find(|item| item.text("PK") == Some("E"));
    crate::eventos::integer(event.unwrap(), "Capacidad")
}

fn id(answer: &(u16, String)) -> String {
    let document: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
    document["Id"].as_str().unwrap().to_owned()
}

#[test]
fn an_event_is_created_shown_and_cancelled_in_the_words_of_the_document() {
    let mut tables = tables();
    let shown =
        "{\n  \"Evento\": \"Opera Aida\",\n  \"Capacidad\": 30,\n  \"Categoria\": \"Opera\",\n  \"Estado\": \"A\"\n}";
    assert_eq!(shown.len(), 88, "the document's Content-Length");
    let created = ask(EVENTOS, &mut tables, &[("POST", "/", AIDA.to_owned()), ("POST", "/", AIDA.to_owned())]);
    assert_eq!(created, [(200, shown.to_owned()), (409, "Evento Opera Aida ya existe".to_owned())]);
    let path = "/Opera Aida";
    let found = ask(EVENTOS, &mut tables, &[get(path), get("/Queen Live"), get("/")]);
    let list = format!("[\n  {}\n]", shown.replace('\n', "\n  "));
    assert_eq!(found, [(200, shown.to_owned()), (404, "Evento Queen Live no existe".to_owned()), (200, list)]);
    let cancelled = ask(EVENTOS, &mut tables, &[delete(path), delete("/Queen Live")]);
    assert_eq!(cancelled.first(), Some(&(200, "Evento Opera Aida cancelado".to_owned())));
    assert_eq!(cancelled.last(), Some(&(404, "Evento Queen Live no existe".to_owned())));
    assert!(ask(EVENTOS, &mut tables, &[get(path)])[0].1.contains("\"Estado\": \"C\""));
}

#[test]
fn a_reservation_takes_seats_and_a_cancellation_gives_them_back() {
    let mut tables = with_aida("A", 30);
    let made = ask(RESERVAS, &mut tables, &[reserve(1)]);
    let id = id(&made[0]);
    let shown = format!(
        "{{\n  \"Id\": \"{id}\",\n  \"Evento\": \"Opera Aida\",\n  \"Estado\": \"A\",\n  \
         \"Email\": \"avaco.digital@gmail.com\",\n  \"Cantidad\": 1\n}}"
    );
    assert_eq!((made[0].0, &made[0].1, shown.len()), (200, &shown, 139), "the document's Content-Length");
    assert_eq!(seats(&tables), 29);
    let path = format!("/{id}");
    let mine = ask(RESERVAS, &mut tables, &[get(&path), get("/Opera Aida/avaco.digital@gmail.com"), get("/nobody")]);
    assert_eq!(mine[0], (200, shown.clone()));
    assert_eq!(mine[1], (200, format!("[\n  {}\n]", shown.replace('\n', "\n  "))));
    assert_eq!(mine[2], (404, "Reserva Id nobody no existe".to_owned()));
    let text = format!("Reserva Id {id} cancelada");
    assert_eq!(text.len(), 48, "the document's Content-Length");
    let twice = ask(RESERVAS, &mut tables, &[delete(&path), delete(&path)]);
    assert_eq!(twice, [(200, text), (409, format!("Reserva Id {id} ya estaba cancelada"))]);
    assert_eq!(seats(&tables), 30);
    assert!(ask(RESERVAS, &mut tables, &[get(&path)])[0].1.contains("\"Estado\": \"X\""));
}

#[test]
fn a_batch_sells_what_there_is_and_writes_the_event_once() {
    let tables = with_aida("A", 5);
    let (plugin, batch): (Ticketing, _) = (testing::plugin(RESERVAS), batch(&[reserve(3), reserve(3), reserve(2)]));
    let out = testing::with_tables(&tables, || testing::call(&plugin, &batch));
    let statuses: Vec<u16> = answers(&out).iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 409, 200]);
    assert_eq!(answers(&out)[1].1, "Evento Opera Aida: quedan 2 boletos");
    let effects = show(&out);
    assert_eq!(effects.len(), 3);
    assert_eq!(
        effects[2],
        r#"-: update inventario {"PK":{"S":"E"},"SK":{"S":"Opera Aida"}} Capacidad = {"N":"0"} Version += 1 if Capacidad = {"N":"5"} and Estado = {"S":"A"} else rerun"#
    );
}

#[test]
fn of_two_batches_for_the_last_seat_one_is_handled_again_and_refused() {
    let before = with_aida("A", 1);
    let (plugin, batch): (Ticketing, _) = (testing::plugin(RESERVAS), batch(&[reserve(1)]));
    let mut after = before.clone();
    let winner = testing::with_tables(&before, || testing::call(&plugin, &batch));
    after.apply(&winner).unwrap();
    let loser = testing::with_tables(&before, || testing::call(&plugin, &batch));
    assert!(after.clone().apply(&loser).is_err(), "the guard holds it back");
    let again = testing::with_tables(&after, || testing::call(&plugin, &batch));
    assert_eq!(answers(&again), [(409, "Evento Opera Aida: quedan 0 boletos".to_owned())]);
}

#[test]
fn nothing_is_reserved_of_events_that_are_cancelled_or_unknown() {
    let other = ("POST", "/", r#"{"evento":"Queen Live","cantidad":1,"email":"a@b.c"}"#.to_owned());
    let answers = ask(RESERVAS, &mut with_aida("C", 30), &[reserve(1), other]);
    assert_eq!(answers[0], (409, "Evento Opera Aida cancelado".to_owned()));
    assert_eq!(answers[1], (404, "Evento Queen Live no existe".to_owned()));
}

#[test]
fn requests_that_make_no_sense_are_answered_and_change_nothing() {
    let mut tables = with_aida("A", 30);
    let post = |body: &str| ("POST", "/", body.to_owned());
    let wrong = [
        post("{"),
        post(r#"{"evento":"Opera Aida","cantidad":-1,"email":"a"}"#),
        post(r#"{"evento":"Opera Aida","cantidad":0,"email":"a"}"#),
        post(r#"{"evento":"a/b","cantidad":1,"email":"a"}"#),
        post(r#"{"evento":"Opera Aida","cantidad":1,"email":""}"#),
    ];
    let before = tables.items("inventario").to_vec();
    for (status, text) in ask(RESERVAS, &mut tables, &wrong) {
        assert_eq!(status, 400, "{text}");
    }
    assert_eq!(ask(RESERVAS, &mut tables, &[("PUT", "/x", String::new())]), [(404, "no hay tal llamada".to_owned())]);
    assert_eq!(tables.items("inventario"), before);
    let markup = ask(RESERVAS, &mut tables, &[get("/<script>")]);
    assert_eq!(markup, [(404, "Reserva Id &lt;script&gt; no existe".to_owned())]);
}

#[test]
fn ids_differ_by_request_and_not_by_attempt() {
    let mut tables = with_aida("A", 30);
    let made = ask(RESERVAS, &mut tables, &[reserve(1), reserve(1)]);
    let again = ask(RESERVAS, &mut with_aida("A", 30), &[reserve(1), reserve(1)]);
    assert_eq!(made, again);
    assert_ne!(id(&made[0]), id(&made[1]));
    // The seconds of the document's first reservation give the beginning of its id.
    assert!(id(&made[0]).starts_with("21tY"), "{}", id(&made[0]));
    assert_eq!(id(&made[0]).len(), 27);
}

#[test]
fn parameters_of_the_path_are_taken_as_the_listener_decoded_them() {
    let attributes = [("endpoint", "GET /reservas/{Id}"), ("path.Id", "Fútbol & más")];
    let batch = testing::events_of(&[NewEvent { id: "1", attributes: &attributes, ..NewEvent::default() }]);
    let plugin: Ticketing = testing::plugin(RESERVAS);
    let tables = with_aida("A", 30);
    let out = testing::with_tables(&tables, || testing::call(&plugin, &batch));
    assert_eq!(answers(&out), [(404, "Reserva Id F&#250;tbol &amp; m&#225;s no existe".to_owned())]);
    assert_eq!(out.replies()[0].content_type, "text/html");
}
