-- What only MariaDB has. A target of another family can take none of it unchanged.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION';
CREATE SEQUENCE invoice_numbers START WITH 4711 INCREMENT BY 7 CACHE 10;
SELECT NEXT VALUE FOR invoice_numbers;
CREATE TABLE prices (sku char(12) PRIMARY KEY, price decimal(10,2)) ENGINE=InnoDB WITH SYSTEM VERSIONING;
INSERT INTO prices VALUES ('a', 1), ('b', 2);
UPDATE prices SET price = 3 WHERE sku = 'a';
CREATE TABLE typed (u uuid PRIMARY KEY, six inet6, four inet4, c varchar(500) COMPRESSED, d datetime DEFAULT (now() + INTERVAL 1 DAY)) ENGINE=InnoDB;
INSERT INTO typed VALUES ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '192.0.2.1', repeat('compress me ', 30), '2024-02-03 04:05:06');
CREATE TABLE aria_table (id int PRIMARY KEY, v varchar(20)) ENGINE=Aria TRANSACTIONAL=1 PAGE_CHECKSUM=1 ROW_FORMAT=PAGE;
INSERT INTO aria_table VALUES (1, 'one');
CREATE TABLE old_engine (id int PRIMARY KEY, v varchar(20)) ENGINE=MyISAM ROW_FORMAT=FIXED;
INSERT INTO old_engine VALUES (1, 'one');
CREATE DEFINER=`app_role` VIEW by_a_role AS SELECT 1 AS one;
DELIMITER ;;
CREATE DEFINER=`app_role` PROCEDURE role_proc() SELECT 'DEFINER=`app_role`';;
CREATE OR REPLACE DEFINER=`shop app`@`10.0.%` AGGREGATE FUNCTION total_of(x int) RETURNS int
BEGIN
  DECLARE s int DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN s;
  LOOP FETCH GROUP NEXT ROW; SET s = s + x; END LOOP;
END;;
SET SESSION sql_mode = 'ORACLE';;
CREATE DEFINER="shop app"@"10.0.%" PACKAGE billing AS
  FUNCTION vat(amount DECIMAL) RETURN DECIMAL;
  PROCEDURE note(what VARCHAR2(100));
END;;
CREATE DEFINER="shop app"@"10.0.%" PACKAGE BODY billing AS
  FUNCTION vat(amount DECIMAL) RETURN DECIMAL AS BEGIN RETURN amount * 0.19; END;
  PROCEDURE note(what VARCHAR2(100)) AS BEGIN INSERT INTO audit (what) VALUES ('DEFINER="x"@"y" ' || what); END;
END;;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION';;
DELIMITER ;
