//! Boletia's endpoints: requests in, answers and writes out. One domain keeps the events, the other sells their tickets.
//!
//! No seat is sold twice: a reservation reads the free seats and guards its write by their number. If somebody else was
//! faster, the router has the whole batch handled again.

mod answer;
mod eventos;
mod id;
mod request;
mod reservas;

use esclusa_plugin::{Batch, Effects, Failure, Plugin, export};
use eventos::Eventos;
use request::Request;
use reservas::Reservas;

/// `[route.config]`: which domain answers.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "domain", rename_all = "kebab-case")]
pub enum Config {
    /// The events.
    Eventos(eventos::Config),
    /// The reservations.
    Reservas(reservas::Config),
}

/// The plugin.
pub struct Ticketing(Config);

impl Plugin for Ticketing {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Ticketing(config))
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        match &self.0 {
            Config::Eventos(config) => {
                let mut eventos = Eventos::new(config);
                out.for_each(batch, |event, out| {
                    eventos.answer(&Request::of(event), out)?.send(event, out);
                    Ok(())
                })
            }
            Config::Reservas(config) => {
                let mut reservas = Reservas::new(config);
                out.for_each(batch, |event, out| {
                    reservas.answer(&Request::of(event), out)?.send(event, out);
                    Ok(())
                })?;
                reservas.write(out);
                Ok(())
            }
        }
    }
}

export!(Ticketing);

#[cfg(test)]
mod tests;
