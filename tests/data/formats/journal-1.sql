BEGIN TRANSACTION;
CREATE TABLE journal(
    number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, version INTEGER NOT NULL, utc_ns INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL, epoch INTEGER NOT NULL, element TEXT NOT NULL, payload TEXT NOT NULL, check_sum INTEGER NOT NULL
) STRICT;
INSERT INTO "journal" VALUES(1,1,1,100,10,2,'ESS','{"version":"0.1.0","configuration_hash":"c0ffee","catalogue_hash":"beef","unclean":true}',2023169133);
INSERT INTO "journal" VALUES(2,3,1,200,20,2,'ESS.ARR01.R001','{"element":"ESS.ARR01.R001","alarm":"CellOverVoltage","level":3,"condition":"CellOverVoltageTrip","active":true,"acked":false,"latched":true,"value":3.71,"severity":900,"count":1,"location":1012,"text":"över"}',2754665123);
INSERT INTO "journal" VALUES(3,7,1,300,30,2,'ESS.ARR01.R001.M02','{"user":"operator","text":"module exchanged","element":"ESS.ARR01.R001.M02"}',2074158500);
INSERT INTO "journal" VALUES(4,9,1,400,40,2,'','{"face":"opcua","event":"ActivateSession","user":"operator","peer":"","ok":true,"detail":""}',1650741329);
CREATE INDEX journal_time ON journal(utc_ns);
CREATE INDEX journal_element ON journal(element, utc_ns);
CREATE VIEW audit AS SELECT number, utc_ns, payload FROM journal WHERE kind = 9;
COMMIT;
PRAGMA user_version=1;
